// A folder of our own below TMPDIR (or /tmp), removed with all that is in it.
//
//   absl::StatusOr<TemporaryDirectory> directory = TemporaryDirectory::Make();
//   std::ofstream(directory->path() + "/prometheus.yml") << text;
//
// Thread safety: none; one owner.
#ifndef SLUICE_CLIENT_CLI_TEMPORARY_DIRECTORY_H_
#define SLUICE_CLIENT_CLI_TEMPORARY_DIRECTORY_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace sluice::cli {

class TemporaryDirectory {
 public:
  static absl::StatusOr<TemporaryDirectory> Make();

  TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
  ~TemporaryDirectory();

  const std::string& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}

  std::string path_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_TEMPORARY_DIRECTORY_H_
