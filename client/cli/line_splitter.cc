#include "client/cli/line_splitter.h"

namespace sluice::cli {
namespace {

// A line that was long once does not keep its memory for all that follow.
constexpr size_t kKeptBytesMax = 64 << 10;

}  // namespace

LineSplitter::Line LineSplitter::Complete(std::string_view rest) {
  Line line{.number = number_, .bytes = begun_bytes_ + rest.size()};
  if (line.bytes > line_bytes_max_) {
    line.fits = Line::Fits::kTooLong;
  } else if (begun_bytes_ == 0) {
    line.text = rest;
  } else {
    begun_.append(rest);
    line.text = begun_;
  }
  return line;
}

void LineSplitter::Keep(std::string_view rest) {
  begun_bytes_ += rest.size();
  if (begun_bytes_ <= line_bytes_max_) {
    begun_.append(rest);
  } else {
    begun_.clear();
  }
}

void LineSplitter::StartNext() {
  ++number_;
  begun_bytes_ = 0;
  begun_.clear();
  if (begun_.capacity() > kKeptBytesMax) begun_.shrink_to_fit();
}

}  // namespace sluice::cli
