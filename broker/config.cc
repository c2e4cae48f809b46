#include "broker/config.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "broker/config_check.h"
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

constexpr std::string_view kRulesExplained = R"(
# Rules for subscriptions, in an order: the first that matches applies, and no other. Every key may
# be left out. An example:
#
# [[subscription_rules]]
# filter = "ticks.>"             # subscriptions to this, or to a part of it
# client = "dash-*"              # of clients with such a name
# overflow = "conflate"          # for who asks for no policy, or one that is not allowed
# overflow_allowed = ["conflate", "drop_oldest"]
# conflate_header = "symbol"     # of conflate, for who names no header
# on_overflow = "observe"        # count and log what its limits would do, and do nothing; or "act"
# pending_bytes_max = "4MiB"     # defaults for who asks for none; also pending_messages_max,
#                                # pending_age_max
# pending_bytes_soft = "1MiB"    # also pending_messages_soft, pending_age_soft
# soft_time = "10s"
# pending_bytes_ceiling = "16MiB" # a wish for more is cut to it; also pending_messages_ceiling,
#                                # pending_age_ceiling. Left out: to what [limits] allows.
)";

std::string RuleToToml(const SubscriptionRule& rule) {
  std::string text = "\n[[subscription_rules]]\n";
  const auto add = [&text](std::string_view key, std::string_view value) {
    text += fmt::format("{} = {}\n", key, value);
  };
  add("filter", QuotedToml(rule.filter));
  add("client", QuotedToml(rule.client));
  if (rule.overflow != v1::OVERFLOW_POLICY_DEFAULT)
    add("overflow", QuotedToml(OverflowPolicyName(rule.overflow)));
  if (!rule.overflow_allowed.empty()) {
    std::string names;
    for (const v1::OverflowPolicy policy : rule.overflow_allowed) {
      names += fmt::format("{}{}", names.empty() ? "" : ", ", QuotedToml(OverflowPolicyName(policy)));
    }
    add("overflow_allowed", fmt::format("[{}]", names));
  }
  if (rule.on_overflow.has_value()) {
    add("on_overflow", QuotedToml(*rule.on_overflow == OnOverflow::kObserve ? "observe" : "act"));
  }
  if (!rule.conflate_header.empty()) add("conflate_header", QuotedToml(rule.conflate_header));
  for (const RuleLimit& limit : RuleLimits()) {
    const Setting& setting = *FindSetting(limit.setting);
    // As the setting that it is read as.
    Config shown;
    bool said = false;
    std::visit(
        [&](auto member) {
          const auto& value = rule.*member;
          using Value = typename std::remove_cvref_t<decltype(value)>::value_type;
          said = value.has_value();
          if (said) shown.*std::get<Value Config::*>(setting.member) = *value;
        },
        limit.member);
    if (!said) continue;
    const std::string value = Show(setting, shown);
    add(limit.key, IsBare(setting, value) ? value : QuotedToml(value));
  }
  return text;
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
  if (problems.usage.empty() && problems.file.empty()) {
    for (ConfigProblem& problem : CheckTogether(origins, &config)) {
      std::vector<std::string>& list = problem.kind == Origin::Kind::kFlag ? problems.usage : problems.file;
      list.push_back(std::move(problem.text));
    }
  }

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
      "# What is left out has its default. Check a changed file with: sluiced --config FILE --check-config\n"
      "# SIGHUP lets a broker that runs read it again.\n";
  std::string_view section;
  for (const Setting& setting : Settings()) {
    if (setting.section != section) text += fmt::format("\n[{}]\n", setting.section);
    section = setting.section;
    const std::string value = Show(setting, config);
    const std::string default_value = Show(setting, defaults);
    text += "\n" + Comment(AsSentence(setting.help)) +
            Comment(fmt::format("Allowed: {}. Default: {}.{}", setting.Allowed(),
                                default_value.empty() ? "none" : default_value,
                                CanChangeAtRunTime(setting) ? "" : " A change needs a restart.")) +
            fmt::format("{} = {}\n", setting.key, IsBare(setting, value) ? value : QuotedToml(value));
  }
  text += kRulesExplained;
  return text + RulesToToml(config);
}

std::string RulesToToml(const Config& config) {
  std::string text;
  for (const SubscriptionRule& rule : config.subscription_rules) text += RuleToToml(rule);
  return text;
}

}  // namespace sluice
