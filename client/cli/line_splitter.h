// Cuts a stream of bytes into lines, as it arrives.
//
//   LineSplitter lines(/*line_bytes_max=*/1 << 20);
//   lines.Append(bytes, [&](const LineSplitter::Line& line) { Publish(line.text); });
//   lines.Finish(…);                                  // a last line without a newline
//
// A line ends at '\n', which is not part of it; every other byte, also 0 and '\r', is. A line longer than
// `line_bytes_max` is never kept whole: only its length is told.
//
// Thread safety: none; one owner.
#ifndef SLUICE_CLIENT_CLI_LINE_SPLITTER_H_
#define SLUICE_CLIENT_CLI_LINE_SPLITTER_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::cli {

class LineSplitter {
 public:
  struct Line {
    // From 1.
    uint64_t number = 0;
    // Valid for the call. Empty if the line is too long.
    std::string_view text = {};
    uint64_t bytes = 0;
    enum class Fits { kYes, kTooLong } fits = Fits::kYes;
  };

  explicit LineSplitter(uint64_t line_bytes_max) : line_bytes_max_(line_bytes_max) {}

  // Calls `on_line` for each line that `bytes` completes.
  template <typename OnLine>
  void Append(std::string_view bytes, OnLine&& on_line) {
    for (size_t end = bytes.find('\n'); end != std::string_view::npos; end = bytes.find('\n')) {
      on_line(Complete(bytes.substr(0, end)));
      StartNext();
      bytes.remove_prefix(end + 1);
    }
    Keep(bytes);
  }

  // The stream has ended: calls `on_line` for what stands behind the last newline, if anything does.
  template <typename OnLine>
  void Finish(OnLine&& on_line) {
    if (begun_bytes_ == 0) return;
    on_line(Complete({}));
    StartNext();
  }

  // Whether a line was begun and is waiting for its end.
  bool has_partial() const { return begun_bytes_ > 0; }

 private:
  // The line that ends with `rest`. A line that came in one piece is not copied.
  Line Complete(std::string_view rest);
  void Keep(std::string_view rest);
  void StartNext();

  const uint64_t line_bytes_max_;
  uint64_t number_ = 1;
  // What came of the present line; its bytes are in begun_ unless it is too long already.
  uint64_t begun_bytes_ = 0;
  std::string begun_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_LINE_SPLITTER_H_
