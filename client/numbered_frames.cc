#include "client/numbered_frames.h"

#include "protocol/frame.h"

namespace sluice::client {

std::string_view BodyOf(std::string_view frame) { return frame.substr(ReadFramePrefix(frame).prefix_bytes); }

char* NumberedFrames::ReservePublish(size_t bytes) {
  ++last_;
  return frames_.Reserve(bytes);
}

uint64_t NumberedFrames::NumberOf(uint64_t nth) const {
  uint64_t number = base_ + nth;
  for (const uint64_t out : taken_out_) {
    if (out > number || nth == 0) break;
    ++number;
  }
  return number;
}

uint64_t NumberedFrames::BufferedPublishes() const {
  uint64_t count = 0;
  frames_.ForEach([&count](std::string_view frame) { count += IsPublish(BodyOf(frame)) ? 1 : 0; });
  return count;
}

uint64_t NumberedFrames::LastLeft() const {
  return NumberOf(last_ - base_ - taken_out_.size() - BufferedPublishes());
}

uint64_t NumberedFrames::CountBetween(uint64_t after, uint64_t last) const {
  if (last <= after) return 0;
  const auto out = std::count_if(taken_out_.begin(), taken_out_.end(),
                                 [after, last](uint64_t number) { return number > after && number <= last; });
  return last - after - static_cast<uint64_t>(out);
}

void NumberedFrames::EndSession() {
  frames_.Rewind();
  base_ = LastLeft();
  taken_out_.erase(taken_out_.begin(), std::upper_bound(taken_out_.begin(), taken_out_.end(), base_));
}

}  // namespace sluice::client
