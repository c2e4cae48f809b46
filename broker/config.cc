#include "broker/config.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <span>
#include <string_view>
#include <utility>

#include "broker/config_file.h"
#include "broker/did_you_mean.h"
#include "broker/settings.h"
#include "protocol/frame.h"
#include "protocol/names.h"
#include "protocol/publish.h"

namespace sluice {
namespace {

constexpr size_t kProblemsShownMax = 20;
constexpr size_t kBytesShown = 1024;
constexpr size_t kHelpColumns = 100;
constexpr size_t kHelpFlagColumns = 30;

// What is wrong with the command line, and with the file.
struct Problems {
  std::vector<std::string> usage;
  std::vector<std::string> file;
};

// ---- Settings that depend on each other ----

uint64_t RoundUpToMiB(uint64_t bytes) { return ((bytes >> 20) + 1) << 20; }

void CheckTogether(const Origins& origins, Config* config, Problems* problems) {
  const auto refuse = [&](const std::string& path, const std::string& why) {
    const Origin& origin = origins.at(path);
    std::vector<std::string>& list = origin.kind == Origin::Kind::kFlag ? problems->usage : problems->file;
    list.push_back(fmt::format("{}: {}", origin.text, why));
  };

  const std::string pending = "limits.pending_bytes_max";
  const uint64_t two_messages = 2 * config->frame_bytes_max();
  if (config->pending_bytes_max != 0 && config->pending_bytes_max < two_messages) {
    if (origins.contains(pending)) {
      return refuse(pending,
                    fmt::format("{} is less than twice the largest message; with max_message {} and "
                                "max_headers {} allowed: {} to {}, or 0 (no limit)",
                                ShowBytes(config->pending_bytes_max), ShowBytes(config->payload_bytes_max),
                                ShowBytes(config->headers_bytes_max), ShowBytes(two_messages),
                                ShowBytes(FindSetting(pending)->max)));
    }
    config->pending_bytes_max = RoundUpToMiB(two_messages);
    config->notes.push_back(fmt::format("{} raised to {}, since it must hold two of the largest messages",
                                        pending, ShowBytes(config->pending_bytes_max)));
  }

  const std::string session = "limits.session_bytes_max";
  const uint64_t session_min = std::max(config->pending_bytes_max, two_messages);
  if (config->session_bytes_max != 0 && config->session_bytes_max < session_min) {
    if (origins.contains(session)) {
      return refuse(session,
                    fmt::format("{} is less than what one subscription may hold; with pending_bytes_max {} "
                                "allowed: {} to {}, or 0 (no limit)",
                                ShowBytes(config->session_bytes_max), ShowBytes(config->pending_bytes_max),
                                ShowBytes(session_min), ShowBytes(FindSetting(session)->max)));
    }
    config->session_bytes_max = RoundUpToMiB(session_min - 1);
    config->notes.push_back(fmt::format("{} raised to {}, since one subscription may hold so much", session,
                                        ShowBytes(config->session_bytes_max)));
  }
}

// ---- The command line ----

std::string SectionTitle(std::string_view section) {
  if (section.empty()) return "Settings";
  return fmt::format("Settings of [{}]", section);
}

// Breaks at spaces, so that each line has at most `columns` letters, a long word excepted.
std::string Wrap(std::string_view text, size_t columns) {
  std::string wrapped;
  size_t line_bytes = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    const bool fits = line_bytes + 1 + word.size() <= columns;
    if (!wrapped.empty()) wrapped += fits ? ' ' : '\n';
    line_bytes = fits && !wrapped.empty() ? line_bytes + 1 + word.size() : word.size();
    wrapped += word;
  }
  return wrapped;
}

std::string Describe(const Setting& setting, const Config& defaults) {
  constexpr size_t kColumns = kHelpColumns - kHelpFlagColumns;
  const std::string shown = Show(setting, defaults);
  return fmt::format("{}\n{}", Wrap(fmt::format("{}.", setting.help), kColumns),
                     Wrap(fmt::format("Allowed: {}. Default: {}. In the file: {}", setting.Allowed(),
                                      shown.empty() ? "none" : shown, setting.Path()),
                          kColumns));
}

struct Flags {
  std::string config_file;
  bool check_config = false;
  bool print_config = false;
  std::vector<std::string> values = std::vector<std::string>(Settings().size());
  std::vector<CLI::Option*> options;
};

void AddFlags(CLI::App* app, Flags* flags) {
  app->get_formatter()->column_width(kHelpFlagColumns);
  app->set_help_flag("-h,--help", "print this and exit");
  app->set_version_flag("--version",
                        fmt::format("sluiced {} (protocol version {})", SLUICE_VERSION, kProtocolVersion),
                        "print the version and exit");
  app->add_option("-c,--config", flags->config_file, "read settings from this TOML file")->type_name("FILE");
  app->add_flag("--check-config", flags->check_config, "check flags and file, say what is wrong, and exit")
      ->disable_flag_override();
  app->add_flag("--print-config", flags->print_config,
                "print all settings in effect as a configuration file, and exit")
      ->disable_flag_override();

  const Config defaults;
  for (size_t i = 0; i < Settings().size(); ++i) {
    const Setting& setting = Settings()[i];
    flags->options.push_back(
        app->add_option(fmt::format("--{}", setting.flag), flags->values[i], Describe(setting, defaults))
            ->type_name(std::string(setting.ValueName()))
            ->group(SectionTitle(setting.section)));
  }
  app->footer(
      "Sizes: 1048576, 1024KiB, 1MiB, 1MB. Durations: 10s, 500ms, 1m30s.\n"
      "A flag beats the file, the file beats the default. The environment is not looked at.");
}

std::vector<std::string> KnownFlags() {
  std::vector<std::string> known = {"--help", "--version", "--config", "--check-config", "--print-config"};
  for (const Setting& setting : Settings()) known.push_back(fmt::format("--{}", setting.flag));
  return known;
}

// CLI11's own words are those of a library: "--shards: 1 required N missing".
std::string Explain(const CLI::Error& error) {
  const std::string_view text = error.what();
  const std::string_view name = text.substr(0, text.find(": "));
  if (text.ends_with(" missing")) return fmt::format("{}: its value is missing", name);
  if (text.find(" required but received ") != std::string_view::npos) {
    return fmt::format("{}: given more than once", name);
  }
  constexpr std::string_view kValueOfFlag = " was given a disallowed flag override";
  if (text.ends_with(kValueOfFlag)) {
    return fmt::format("--{}: takes no value", text.substr(0, text.size() - kValueOfFlag.size()));
  }
  return Printable(text, kBytesShown);
}

void AppendProblems(const std::vector<std::string>& problems, std::string* text) {
  const size_t shown = std::min(problems.size(), kProblemsShownMax);
  for (size_t i = 0; i < shown; ++i) *text += fmt::format("sluiced: {}\n", problems[i]);
  if (shown < problems.size()) *text += fmt::format("sluiced: and {} more\n", problems.size() - shown);
}

CommandLine Fail(const Problems& problems) {
  CommandLine result;
  result.next = NextStep::kFail;
  result.exit_code = problems.usage.empty() ? kExitConfig : kExitUsage;
  AppendProblems(problems.usage, &result.text);
  AppendProblems(problems.file, &result.text);
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
  std::string text = flags.config_file.empty()
                         ? "the configuration is good\n"
                         : fmt::format("{} is good\n", Printable(flags.config_file, kBytesShown));
  for (const std::string& note : config.notes) text += fmt::format("note: {}\n", note);
  return text;
}

// ---- The configuration as a file ----

std::string QuotedToml(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const uint8_t byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (byte < ' ' || byte == 0x7f) {
      quoted += fmt::format("\\u{:04X}", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

// Bare in the file: a count, and 0 where others have a unit.
bool IsBare(const Setting& setting, std::string_view value) {
  const bool has_unit = setting.kind == SettingKind::kBytes || setting.kind == SettingKind::kDuration;
  return setting.kind == SettingKind::kCount || (has_unit && value == "0");
}

std::string AsSentence(std::string_view help) {
  std::string sentence = fmt::format("{}.", help);
  sentence[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(sentence[0])));
  return sentence;
}

std::string Comment(std::string_view text) {
  constexpr std::string_view kLead = "# ";
  std::string comment(kLead);
  for (const char c : Wrap(text, kHelpColumns - kLead.size())) {
    comment += c;
    if (c == '\n') comment += kLead;
  }
  return comment + "\n";
}

}  // namespace

uint64_t Config::frame_bytes_max() const {
  const uint64_t body_bytes_max = FrameBodyBytesMax({payload_bytes_max, headers_bytes_max});
  return FramePrefixBytes(static_cast<uint32_t>(body_bytes_max)) + body_bytes_max;
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
    problems.usage.push_back(Explain(error));
    return Fail(problems);
  }
  for (const std::string& extra : app.remaining()) {
    const std::string_view name = std::string_view(extra).substr(0, extra.find('='));
    problems.usage.push_back(
        fmt::format("unknown argument '{}'{}", Printable(extra), DidYouMean(name, KnownFlags())));
  }

  Config config;
  Origins origins;
  if (!flags.config_file.empty()) {
    problems.file = ReadConfigFile(flags.config_file, &config, &origins);
  } else if (app.count("--config") > 0) {
    problems.usage.emplace_back("--config: its value is empty");
  }
  for (size_t i = 0; i < Settings().size(); ++i) {
    if (flags.options[i]->count() == 0) continue;
    const Setting& setting = Settings()[i];
    origins[setting.Path()] = {fmt::format("--{}", setting.flag), Origin::Kind::kFlag};
    const absl::Status status = Assign(setting, flags.values[i], &config);
    if (!status.ok())
      problems.usage.push_back(fmt::format("--{}: {}", setting.flag, std::string(status.message())));
  }
  // Settings that were refused still have their default, with which the others cannot fairly be compared.
  if (problems.usage.empty() && problems.file.empty()) CheckTogether(origins, &config, &problems);

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
    const std::string default_value = Show(setting, defaults);
    text += "\n" + Comment(AsSentence(setting.help)) +
            Comment(fmt::format("Allowed: {}. Default: {}.", setting.Allowed(),
                                default_value.empty() ? "none" : default_value)) +
            fmt::format("{} = {}\n", setting.key, IsBare(setting, value) ? value : QuotedToml(value));
  }
  return text;
}

}  // namespace sluice
