// A directory for one test's files, removed with everything in it when the test ends.
//
//   TempDir dir;
//   ParseConfig(dir.Write("sluiced.toml", "shards = 2\n"));
#ifndef SLUICE_TESTS_SUPPORT_TEMP_DIR_H_
#define SLUICE_TESTS_SUPPORT_TEMP_DIR_H_

#include <string>
#include <string_view>

namespace sluice::testing {

class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  const std::string& path() const { return path_; }

  // Writes the file and returns its path.
  std::string Write(std::string_view name, std::string_view text) const;

 private:
  std::string path_;
};

// The whole file. Throws std::runtime_error when it cannot be read.
std::string ReadFile(const std::string& path);

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_TEMP_DIR_H_
