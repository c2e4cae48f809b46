#include "client/cli/demo_prometheus.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <utility>

#include "client/cli/event.h"
#include "client/clock.h"

namespace sluice::cli {
namespace {

// How often its log is looked at while it starts.
constexpr absl::Duration kLook = absl::Milliseconds(20);
constexpr absl::Duration kPatienceAtEnd = absl::Seconds(10);

// JSON is YAML, and quotes whatever a path may hold. What to scrape stands in a file that Prometheus watches: the
// broker, which is told where the dashboards are, starts later.
std::string Configuration(const std::string& files, const std::string& directory) {
  const nlohmann::json configuration = {
      {"global", {{"scrape_interval", "1s"}, {"scrape_timeout", "1s"}, {"evaluation_interval", "1s"}}},
      {"rule_files", {files + "/rules/*.yml"}},
      {"scrape_configs",
       {{{"job_name", "sluice"}, {"file_sd_configs", {{{"files", {directory + "/targets.json"}}}}}}}}};
  return configuration.dump(2);
}

absl::Status WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  if (file) return absl::OkStatus();
  return absl::UnavailableError(fmt::format("cannot write {}", path));
}

// What follows `key` in the log, up to the next space.
std::string FieldOfLog(const std::string& log, std::string_view message, std::string_view key) {
  const size_t line = log.find(message);
  const size_t field = line == std::string::npos ? line : log.find(key, line);
  if (field == std::string::npos) return "";
  const size_t begin = field + key.size();
  const size_t end = log.find_first_of(" \n", begin);
  // Not all of it is there.
  return end == std::string::npos ? "" : log.substr(begin, end - begin);
}

std::string LastLineOf(std::string log) {
  while (log.ends_with('\n')) log.pop_back();
  return log.empty() ? "nothing" : log.substr(log.rfind('\n') + 1);
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

absl::StatusOr<std::string> FindPrometheusFiles() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return absl::NotFoundError("/proc/self/exe does not say where this program is");
  const std::filesystem::path files = self.parent_path().parent_path() / "share/sluice/prometheus";
  if (std::filesystem::is_directory(files / "rules", error)) return files.string();
  return absl::NotFoundError(fmt::format("its rules and console are not in {}", files.string()));
}

absl::StatusOr<std::unique_ptr<DemoPrometheus>> DemoPrometheus::Start(const Options& options,
                                                                      int interrupt_fd) {
  absl::StatusOr<TemporaryDirectory> directory = TemporaryDirectory::Make();
  if (!directory.ok()) return directory.status();
  const std::string& path = directory->path();
  if (absl::Status status = WriteFile(path + "/prometheus.yml", Configuration(options.files, path));
      !status.ok())
    return status;
  const Descriptor log(
      ::open((path + "/log").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  if (!log) {
    return absl::UnavailableError(
        fmt::format("cannot write {}/log: {}", path, std::generic_category().message(errno)));
  }
  absl::StatusOr<ChildProcess> child = ChildProcess::Start(
      {.arguments = {options.program, "--config.file=" + path + "/prometheus.yml",
                     "--storage.tsdb.path=" + path + "/data", "--web.listen-address=" + options.listen,
                     "--web.console.templates=" + options.files + "/consoles"},
       .output_to = log.get(),
       .errors_to = log.get()});
  if (!child.ok()) return child.status();
  std::unique_ptr<DemoPrometheus> prometheus(new DemoPrometheus(*std::move(child), *std::move(directory)));
  if (absl::Status status = prometheus->WaitUntilListening(options.timeout, interrupt_fd); !status.ok())
    return status;
  return prometheus;
}

absl::Status DemoPrometheus::WaitUntilListening(absl::Duration timeout, int interrupt_fd) {
  for (const absl::Time deadline = client::DeadlineIn(timeout);;) {
    const Ready ready = WaitFor({interrupt_fd, child_.exited_fd()}, client::DeadlineIn(kLook));
    if (ready.has(0)) return absl::CancelledError("a signal came");
    const std::string log = ReadFile(log_path());
    if (ready.has(1))
      return absl::UnavailableError(
          fmt::format("Prometheus ended; the last that it said: {}", LastLineOf(log)));
    address_ = FieldOfLog(log, "msg=\"Listening on\"", "address=");
    if (!address_.empty()) return absl::OkStatus();
    if (client::MonotonicNow() >= deadline) {
      return absl::DeadlineExceededError(
          fmt::format("Prometheus did not begin to listen within {}; it said: {}",
                      absl::FormatDuration(timeout), LastLineOf(log)));
    }
  }
}

absl::Status DemoPrometheus::Scrape(const std::string& target) {
  const nlohmann::json targets = {{{"targets", {target}}}};
  // In one piece, since it is watched.
  const std::string path = directory_.path() + "/targets.json";
  if (absl::Status status = WriteFile(path + ".new", targets.dump()); !status.ok()) return status;
  std::error_code error;
  std::filesystem::rename(path + ".new", path, error);
  return error ? absl::UnavailableError(fmt::format("cannot write {}: {}", path, error.message()))
               : absl::OkStatus();
}

DemoPrometheus::~DemoPrometheus() {
  child_.Signal(SIGTERM);
  // Whoever does not listen is killed with the child.
  WaitFor({child_.exited_fd()}, client::DeadlineIn(kPatienceAtEnd));
}

}  // namespace sluice::cli
