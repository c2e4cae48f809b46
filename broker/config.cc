#include "broker/config.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "broker/settings.h"
#include "broker/toml.h"
#include "protocol/frame.h"
#include "protocol/names.h"
#include "protocol/publish.h"

namespace sluice {
namespace {

constexpr size_t kFileBytesMax = size_t{1} << 20;

// Where the value of a setting was given; empty: nowhere, so that it is the default.
using Origins = std::map<std::string, std::string>;  // path -> "sluiced.toml:12: limits.max_message"

struct Problems {
  std::vector<std::string> usage;
  std::vector<std::string> file;
};

// ---- The file ----

// The number of letters to change, add or remove to make one word of the other.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({changed, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row[b.size()];
}

std::string DidYouMean(std::string_view word, const std::vector<std::string>& known) {
  const auto nearest = std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
    return EditDistance(word, a) < EditDistance(word, b);
  });
  if (nearest == known.end() || EditDistance(word, *nearest) > 3) return "";
  return fmt::format(" (did you mean {}?)", *nearest);
}

std::vector<std::string> KnownPaths() {
  std::vector<std::string> paths;
  for (const Setting& setting : Settings()) paths.push_back(setting.Path());
  return paths;
}

const Setting* FindByPath(std::string_view path) {
  const std::span<const Setting> settings = Settings();
  const auto found =
      std::find_if(settings.begin(), settings.end(), [&](const auto& s) { return s.Path() == path; });
  return found == settings.end() ? nullptr : &*found;
}

bool IsSection(std::string_view name) {
  const std::span<const Setting> settings = Settings();
  return std::any_of(settings.begin(), settings.end(), [&](const auto& s) { return s.section == name; });
}

class FileReader {
 public:
  FileReader(std::string path, Config* config, Origins* origins, std::vector<std::string>* problems)
      : path_(std::move(path)), config_(config), origins_(origins), problems_(problems) {}

  void Read();

 private:
  void ReadTable(const toml::table& table, const std::string& prefix);
  void ReadValue(const toml::node& node, const std::string& path);
  // What Assign reads, or what is wrong with the kind of value.
  std::optional<std::string> AsText(const Setting& setting, const toml::node& node, std::string_view where);

  std::string Where(const toml::source_region& region) const {
    return fmt::format("{}:{}", path_, region.begin.line);
  }
  void Problem(std::string text) { problems_->push_back(std::move(text)); }

  const std::string path_;
  Config* const config_;
  Origins* const origins_;
  std::vector<std::string>* const problems_;
};

void FileReader::Read() {
  errno = 0;
  std::ifstream file(path_, std::ios::binary);
  std::string text(kFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.gcount() == 0 && !file.eof())) {
    return Problem(fmt::format("{}: cannot be read: {}", path_,
                               std::generic_category().message(errno == 0 ? EIO : errno)));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kFileBytesMax)
    return Problem(fmt::format("{}: larger than {} bytes", path_, kFileBytesMax));

  const toml::parse_result parsed = toml::parse(std::string_view(text), std::string_view(path_));
  if (!parsed) {
    return Problem(fmt::format("{}: {}", Where(parsed.error().source()), parsed.error().description()));
  }
  ReadTable(parsed.table(), "");
}

void FileReader::ReadTable(const toml::table& table, const std::string& prefix) {
  for (const auto& [key, node] : table) {
    const std::string path = prefix + std::string(key.str());
    if (node.is_table() && prefix.empty() && IsSection(path)) {
      ReadTable(*node.as_table(), path + ".");
    } else {
      ReadValue(node, path);
    }
  }
}

void FileReader::ReadValue(const toml::node& node, const std::string& path) {
  const std::string where = fmt::format("{}: {}", Where(node.source()), Printable(path));
  const Setting* setting = FindByPath(path);
  if (setting == nullptr) {
    return Problem(fmt::format("{}: unknown {}{}", where, node.is_table() ? "section" : "key",
                               DidYouMean(path, KnownPaths())));
  }
  (*origins_)[path] = where;
  const std::optional<std::string> text = AsText(*setting, node, where);
  if (!text.has_value()) return;
  const absl::Status status = Assign(*setting, *text, config_);
  if (!status.ok()) Problem(fmt::format("{}: {}", where, std::string(status.message())));
}

std::optional<std::string> FileReader::AsText(const Setting& setting, const toml::node& node,
                                              std::string_view where) {
  const bool number_allowed = setting.kind == SettingKind::kCount || setting.kind == SettingKind::kBytes;
  const bool text_allowed = setting.kind != SettingKind::kCount;
  const std::optional<int64_t> number = node.is_integer() ? node.value_exact<int64_t>() : std::nullopt;
  // A bare 0 needs no unit.
  if (number.has_value() && (number_allowed || (setting.kind == SettingKind::kDuration && *number == 0))) {
    return std::to_string(*number);
  }
  if (node.is_string() && text_allowed) return node.value_exact<std::string>();
  Problem(fmt::format("{}: wants {}; allowed: {}", where,
                      !text_allowed    ? "a whole number"
                      : number_allowed ? "a whole number or a size in quotes, like \"8MiB\""
                      : setting.kind == SettingKind::kDuration ? "a duration in quotes, like \"10s\""
                                                               : "a text in quotes",
                      setting.Allowed()));
  return std::nullopt;
}

// ---- Settings that depend on each other ----

std::string OriginOf(const Origins& origins, const std::string& path) {
  const auto found = origins.find(path);
  return found == origins.end() ? path : found->second;
}

uint64_t RoundUpToMiB(uint64_t bytes) { return ((bytes >> 20) + 1) << 20; }

void CheckTogether(const Origins& origins, Config* config, std::vector<std::string>* problems) {
  const std::string pending = "limits.pending_bytes_max";
  const uint64_t two_messages = 2 * config->frame_bytes_max();
  if (config->pending_bytes_max != 0 && config->pending_bytes_max < two_messages) {
    if (origins.contains(pending)) {
      problems->push_back(fmt::format(
          "{}: {} is less than twice the largest message; with max_message {} and max_headers {} allowed: "
          "{} to 16GiB, or 0 (no limit)",
          OriginOf(origins, pending), ShowBytes(config->pending_bytes_max),
          ShowBytes(config->payload_bytes_max), ShowBytes(config->headers_bytes_max), two_messages));
    } else {
      config->pending_bytes_max = RoundUpToMiB(two_messages);
      config->notes.push_back(fmt::format("{} raised to {}, since it must hold two of the largest messages",
                                          pending, ShowBytes(config->pending_bytes_max)));
    }
  }

  const std::string session = "limits.session_bytes_max";
  const uint64_t session_min = std::max(config->pending_bytes_max, two_messages);
  if (config->session_bytes_max != 0 && config->session_bytes_max < session_min) {
    if (origins.contains(session)) {
      problems->push_back(
          fmt::format("{}: {} is less than what one subscription may hold; with pending_bytes_max {} "
                      "allowed: {} to 64GiB, or 0 "
                      "(no limit)",
                      OriginOf(origins, session), ShowBytes(config->session_bytes_max),
                      ShowBytes(config->pending_bytes_max), ShowBytes(session_min)));
    } else {
      config->session_bytes_max = RoundUpToMiB(session_min - 1);
      config->notes.push_back(fmt::format("{} raised to {}, since one subscription may hold so much", session,
                                          ShowBytes(config->session_bytes_max)));
    }
  }
}

// ---- The command line ----

std::string SectionTitle(std::string_view section) {
  if (section.empty()) return "Settings";
  return fmt::format("Settings of [{}]", section);
}

struct Flags {
  std::string config_file;
  bool check_config = false;
  bool print_config = false;
  std::vector<std::string> values = std::vector<std::string>(Settings().size());
  std::vector<CLI::Option*> options;
};

void AddFlags(CLI::App* app, Flags* flags) {
  app->set_help_flag("-h,--help", "print this and exit");
  app->set_version_flag("--version",
                        fmt::format("sluiced {} (protocol version {})", SLUICE_VERSION, kProtocolVersion),
                        "print the version and exit");
  app->add_option("-c,--config", flags->config_file, "read settings from this TOML file")->type_name("FILE");
  app->add_flag("--check-config", flags->check_config, "check flags and file, say what is wrong, and exit");
  app->add_flag("--print-config", flags->print_config,
                "print all settings in effect as a configuration file, and exit");

  const Config defaults;
  for (size_t i = 0; i < Settings().size(); ++i) {
    const Setting& setting = Settings()[i];
    const std::string shown = Show(setting, defaults);
    flags->options.push_back(
        app->add_option(fmt::format("--{}", setting.flag), flags->values[i],
                        fmt::format("{}. {} [default: {}; in the file: {}]", setting.help, setting.Allowed(),
                                    shown.empty() ? "none" : shown, setting.Path()))
            ->type_name("")
            ->group(SectionTitle(setting.section)));
  }
  app->footer(
      "Sizes: 1048576, 1024KiB, 1MiB, 1MB. Durations: 10s, 500ms, 1m30s.\n"
      "A flag beats the file, the file beats the default.");
}

std::vector<std::string> KnownFlags() {
  std::vector<std::string> known = {"--help", "--version", "--config", "--check-config", "--print-config"};
  for (const Setting& setting : Settings()) known.push_back(fmt::format("--{}", setting.flag));
  return known;
}

CommandLine Fail(const Problems& problems) {
  CommandLine result;
  result.next = NextStep::kFail;
  result.exit_code = problems.usage.empty() ? kExitConfig : kExitUsage;
  for (const std::string& problem : problems.usage) result.text += fmt::format("sluiced: {}\n", problem);
  for (const std::string& problem : problems.file) result.text += fmt::format("sluiced: {}\n", problem);
  if (!problems.usage.empty()) result.text += "sluiced: --help lists all flags\n";
  return result;
}

CommandLine PrintAndExit(std::string text) {
  CommandLine result;
  result.next = NextStep::kPrintAndExit;
  result.text = std::move(text);
  return result;
}

std::string CheckedText(const Flags& flags, const Config& config) {
  std::string text = flags.config_file.empty() ? "the configuration is good\n"
                                               : fmt::format("{} is good\n", flags.config_file);
  for (const std::string& note : config.notes) text += fmt::format("note: {}\n", note);
  return text;
}

}  // namespace

uint64_t Config::frame_bytes_max() const {
  return kFramePrefixBytesMax + FrameBodyBytesMax({payload_bytes_max, headers_bytes_max});
}

CommandLine ParseCommandLine(int argc, const char* const* argv) {
  CLI::App app(
      "sluiced, the Sluice broker: publish/subscribe in which one slow subscriber cannot hurt the others.",
      "sluiced");
  Flags flags;
  AddFlags(&app, &flags);
  app.allow_extras();
  Problems problems;
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return PrintAndExit(app.help());
  } catch (const CLI::CallForVersion& version) {
    return PrintAndExit(fmt::format("{}\n", version.what()));
  } catch (const CLI::Error& error) {
    problems.usage.emplace_back(error.what());
    return Fail(problems);
  }
  for (const std::string& extra : app.remaining()) {
    problems.usage.push_back(
        fmt::format("unknown argument '{}'{}", Printable(extra), DidYouMean(extra, KnownFlags())));
  }

  Config config;
  Origins origins;
  if (!flags.config_file.empty()) FileReader(flags.config_file, &config, &origins, &problems.file).Read();
  for (size_t i = 0; i < Settings().size(); ++i) {
    if (flags.options[i]->count() == 0) continue;
    const Setting& setting = Settings()[i];
    origins[setting.Path()] = fmt::format("--{}", setting.flag);
    const absl::Status status = Assign(setting, flags.values[i], &config);
    if (!status.ok())
      problems.usage.push_back(fmt::format("--{}: {}", setting.flag, std::string(status.message())));
  }
  // Settings that were refused still have their default, with which the others cannot fairly be compared.
  if (problems.usage.empty() && problems.file.empty()) CheckTogether(origins, &config, &problems.file);

  if (!problems.usage.empty() || !problems.file.empty()) return Fail(problems);
  if (flags.check_config) return PrintAndExit(CheckedText(flags, config));
  if (flags.print_config) return PrintAndExit(ConfigToToml(config));
  CommandLine result;
  result.config = std::move(config);
  return result;
}

std::string ConfigToToml(const Config& config) {
  const Config defaults;
  std::string text =
      "# Configuration of sluiced. Every setting is also a flag: see sluiced --help.\n"
      "# What is left out has its default. Check a changed file with: sluiced --config FILE --check-config\n";
  std::string_view section;
  for (const Setting& setting : Settings()) {
    if (setting.section != section) text += fmt::format("\n[{}]\n", setting.section);
    section = setting.section;
    const std::string value = Show(setting, config);
    const bool bare = setting.kind == SettingKind::kCount || value == "0";
    std::ostringstream quoted;
    if (bare) {
      quoted << value;
    } else {
      quoted << toml::value<std::string>(value);
    }
    const std::string default_value = Show(setting, defaults);
    text += fmt::format("\n# {}.\n# Allowed: {}. Default: {}.\n{} = {}\n", setting.help, setting.Allowed(),
                        default_value.empty() ? "none" : default_value, setting.key, quoted.str());
  }
  return text;
}

}  // namespace sluice
