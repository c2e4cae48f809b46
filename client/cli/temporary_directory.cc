#include "client/cli/temporary_directory.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace sluice::cli {

absl::StatusOr<TemporaryDirectory> TemporaryDirectory::Make() {
  std::error_code error;
  std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  if (error) parent = "/tmp";
  std::string pattern = (parent / "sluice-demo-XXXXXX").string();
  if (::mkdtemp(pattern.data()) != nullptr) return TemporaryDirectory(pattern);
  return absl::UnavailableError(fmt::format("cannot create a directory in {}: {}", parent.string(),
                                            std::generic_category().message(errno)));
}

TemporaryDirectory::~TemporaryDirectory() {
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace sluice::cli
