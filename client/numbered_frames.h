// A FrameBuffer that knows which publish each of its frames is. Internal to the client.
//
// Publishes are numbered from 1 for the life of the client. The broker counts them per session, and a publish
// may be taken out again before it left; NumberOf() translates.
//
//   numbers   1 2 3 4 5 6 7        1-3 left in earlier sessions, 5 was taken out,
//   session         1   2 3        so the session's first publish is number 4, its second 6
//
// Thread safety: none; guarded by its owner's mutex.
#ifndef SLUICE_CLIENT_NUMBERED_FRAMES_H_
#define SLUICE_CLIENT_NUMBERED_FRAMES_H_

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "client/frame_buffer.h"
#include "protocol/publish.h"

namespace sluice::client {

// The inside of a whole frame.
std::string_view BodyOf(std::string_view frame);

class NumberedFrames {
 public:
  // Room for a publish frame; it gets the next number, last().
  char* ReservePublish(size_t bytes);
  void AppendControl(std::string_view frame) { frames_.Append(frame); }
  void Prepend(std::string_view control_frames) { frames_.Prepend(control_frames); }

  size_t Gather(std::span<iovec> pieces) const { return frames_.Gather(pieces); }
  void Consume(size_t bytes) { frames_.Consume(bytes); }
  size_t bytes() const { return frames_.bytes(); }

  // The number of the last publish appended.
  uint64_t last() const { return last_; }
  // The number of the session's n-th publish; of 0: of the last one before it.
  uint64_t NumberOf(uint64_t nth) const;
  // The number of the last publish that has left whole. Walks what is buffered.
  uint64_t LastLeft() const;
  // How many publishes are buffered, one that has left in part included. Walks them.
  uint64_t BufferedPublishes() const;
  // How many publishes have numbers in (after, last], without those that were taken out.
  uint64_t CountBetween(uint64_t after, uint64_t last) const;

  // The connection is gone: what has not left whole is the beginning of the next session.
  void EndSession();
  // After EndSession(): calls `keep(frame, number)` for each frame, with 0 for one that is no publish, and
  // takes out those that it does not want to keep.
  template <typename Keep>
  void Filter(Keep keep);

 private:
  FrameBuffer frames_;
  uint64_t last_ = 0;
  // Publishes up to this number left in earlier sessions, or were taken out in between.
  uint64_t base_ = 0;
  // Those behind it that were taken out; ascending.
  std::vector<uint64_t> taken_out_;
};

template <typename Keep>
void NumberedFrames::Filter(Keep keep) {
  std::vector<uint64_t> now_out;
  auto out = taken_out_.begin();
  uint64_t number = base_;
  frames_.Filter([&](std::string_view frame) {
    if (!IsPublish(BodyOf(frame))) return keep(frame, 0);
    ++number;
    for (; out != taken_out_.end() && *out == number; ++out) ++number;
    if (keep(frame, number)) return true;
    now_out.push_back(number);
    return false;
  });
  const auto before = static_cast<ptrdiff_t>(taken_out_.size());
  taken_out_.insert(taken_out_.end(), now_out.begin(), now_out.end());
  std::inplace_merge(taken_out_.begin(), taken_out_.begin() + before, taken_out_.end());
}

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_NUMBERED_FRAMES_H_
