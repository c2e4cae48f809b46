#include "broker/config_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "broker/did_you_mean.h"
#include "broker/net/error_text.h"
#include "broker/settings.h"
#include "broker/subscription_rule.h"
#include "broker/toml.h"
#include "protocol/names.h"
#include "protocol/topic.h"

namespace sluice {
namespace {

// Ten times what all settings with all their comments take.
constexpr size_t kFileBytesMax = size_t{64} << 10;
constexpr ptrdiff_t kDotsPerLineMax = 64;

constexpr size_t kBytesShown = 1024;

constexpr std::string_view kRules = "subscription_rules";

std::vector<std::string> KnownPaths() {
  std::vector<std::string> paths;
  for (const Setting& setting : Settings()) paths.push_back(setting.Path());
  return paths;
}

std::vector<std::string> KnownSections() {
  std::vector<std::string> sections;
  for (const Setting& setting : Settings()) {
    if (setting.section.empty() || (!sections.empty() && sections.back() == setting.section)) continue;
    sections.emplace_back(setting.section);
  }
  return sections;
}

bool IsSection(std::string_view name) {
  const std::vector<std::string> sections = KnownSections();
  return std::find(sections.begin(), sections.end(), name) != sections.end();
}

// Where a key stands that was written into the wrong section; empty when there is none of that name.
std::string KeyElsewhere(std::string_view path) {
  const std::string_view key = path.substr(path.rfind('.') + 1);
  for (const Setting& setting : Settings()) {
    if (setting.key == key) return fmt::format(" (did you mean {}?)", setting.Path());
  }
  return "";
}

// 0: none. toml++ makes a table for each dot of a key and walks and frees them recursively, so that one long
// line could exhaust the stack.
uint32_t LineWithTooManyDots(std::string_view text) {
  for (uint32_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t first = line.find_first_not_of(" \t");
    const bool comment = first != std::string_view::npos && line[first] == '#';
    if (!comment && std::count(line.begin(), line.end(), '.') > kDotsPerLineMax) return number;
  }
  return 0;
}

class FileReader {
 public:
  FileReader(std::string path, Config* config, Origins* origins)
      : path_(std::move(path)),
        shown_path_(Printable(path_, kBytesShown)),
        config_(config),
        origins_(origins) {}

  // What is wrong with it, in the order of the file.
  std::vector<std::string> Read();

 private:
  // Line 0: the file as a whole.
  struct FileProblem {
    uint32_t line = 0;
    std::string text;
  };
  // A value of the file and what is said about it.
  struct Place {
    uint32_t line = 0;
    std::string path;
  };

  void ReadText(std::string_view text);
  void ReadTable(const toml::table& table, const std::string& prefix);
  // `key` is the end of `path`.
  void ReadValue(const toml::node& node, const std::string& path, std::string_view key);
  void Unknown(const toml::node& node, const Place& place);
  void ReadRules(const toml::node& node);
  void ReadRule(const toml::table& table, const std::string& path);
  void ReadRuleValue(const toml::node& node, const Place& place, std::string_view key,
                     SubscriptionRule* rule);
  void ReadRuleLimit(const toml::node& node, const Place& place, const RuleLimit& limit,
                     SubscriptionRule* rule);
  void ReadRuleText(const toml::node& node, const Place& place, std::string_view key, SubscriptionRule* rule);
  // Nothing after a problem.
  std::optional<v1::OverflowPolicy> ReadPolicy(const toml::node& node, const Place& place);
  // What Assign reads, or nothing after a problem with the kind of value.
  std::optional<std::string> AsText(const Setting& setting, const toml::node& node, const Place& place);

  std::string Where(const Place& place) const {
    return fmt::format("{}:{}: {}", shown_path_, place.line, Printable(place.path));
  }
  void Problem(std::string text) { problems_.push_back({0, fmt::format("{}: {}", shown_path_, text)}); }
  void Problem(uint32_t line, std::string_view text) {
    problems_.push_back({line, fmt::format("{}:{}: {}", shown_path_, line, text)});
  }
  void Problem(const Place& place, std::string_view text) {
    problems_.push_back({place.line, fmt::format("{}: {}", Where(place), text)});
  }

  const std::string path_;
  const std::string shown_path_;
  Config* const config_;
  Origins* const origins_;
  std::vector<FileProblem> problems_;
};

std::vector<std::string> FileReader::Read() {
  errno = 0;
  std::ifstream file(path_, std::ios::binary);
  std::string text(kFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.gcount() == 0 && !file.eof())) {
    Problem(fmt::format("cannot be read: {}", net::ErrorText(errno == 0 ? EIO : errno)));
  } else if (static_cast<size_t>(file.gcount()) > kFileBytesMax) {
    Problem(fmt::format("is larger than {}", ShowBytes(kFileBytesMax)));
  } else {
    ReadText(std::string_view(text).substr(0, static_cast<size_t>(file.gcount())));
  }
  // Tables come sorted by their keys.
  std::stable_sort(problems_.begin(), problems_.end(),
                   [](const auto& a, const auto& b) { return a.line < b.line; });
  std::vector<std::string> texts;
  for (FileProblem& problem : problems_) texts.push_back(std::move(problem.text));
  return texts;
}

void FileReader::ReadText(std::string_view text) {
  if (const uint32_t line = LineWithTooManyDots(text); line != 0) {
    return Problem(line, fmt::format("more than {} dots in a line", kDotsPerLineMax));
  }
  const toml::parse_result parsed = toml::parse(text);
  if (parsed) return ReadTable(parsed.table(), "");
  Problem(parsed.error().source().begin.line, Printable(parsed.error().description(), kBytesShown));
}

void FileReader::ReadTable(const toml::table& table, const std::string& prefix) {
  for (const auto& [key, node] : table) {
    const std::string path = prefix + std::string(key.str());
    if (prefix.empty() && path == kRules) {
      ReadRules(node);
    } else if (node.is_table() && prefix.empty() && IsSection(path)) {
      ReadTable(*node.as_table(), path + ".");
    } else {
      ReadValue(node, path, key.str());
    }
  }
}

void FileReader::ReadValue(const toml::node& node, const std::string& path, std::string_view key) {
  const Place place = {node.source().begin.line, path};
  const Setting* setting = FindSetting(path);
  // A dot in quotes is part of the key.
  if (setting == nullptr || setting->key != key) return Unknown(node, place);
  (*origins_)[path] = {Where(place), Origin::Kind::kFile};
  const std::optional<std::string> text = AsText(*setting, node, place);
  if (!text.has_value()) return;
  const absl::Status status = Assign(*setting, *text, config_);
  if (!status.ok()) Problem(place, std::string(status.message()));
}

void FileReader::Unknown(const toml::node& node, const Place& place) {
  if (IsSection(place.path)) {
    return Problem(place, fmt::format("is a section, to be written as [{}] above its keys", place.path));
  }
  if (node.is_table()) {
    const std::vector<std::string> sections = KnownSections();
    const std::string near = DidYouMean(place.path, sections);
    return Problem(place, fmt::format("unknown section{}; allowed: {}", near, fmt::join(sections, ", ")));
  }
  std::string near = KeyElsewhere(place.path);
  if (near.empty()) near = DidYouMean(place.path, KnownPaths());
  Problem(place, fmt::format("unknown key{}", near));
}

void FileReader::ReadRules(const toml::node& node) {
  const toml::array* rules = node.as_array();
  const bool tables = rules != nullptr && std::all_of(rules->begin(), rules->end(),
                                                      [](const toml::node& rule) { return rule.is_table(); });
  const Place place = {node.source().begin.line, std::string(kRules)};
  if (!tables) {
    return Problem(place,
                   fmt::format("is a list of tables, each to be written as [[{}]] above its keys", kRules));
  }
  if (rules->size() > kSubscriptionRulesMax) {
    return Problem(place,
                   fmt::format("{} of them; at most {} are allowed", rules->size(), kSubscriptionRulesMax));
  }
  for (size_t i = 0; i < rules->size(); ++i) ReadRule(*(*rules)[i].as_table(), RulePath(i));
}

void FileReader::ReadRule(const toml::table& table, const std::string& path) {
  SubscriptionRule rule;
  for (const auto& [key, node] : table) {
    const Place place = {node.source().begin.line, fmt::format("{}.{}", path, std::string_view(key.str()))};
    (*origins_)[place.path] = {Where(place), Origin::Kind::kFile};
    ReadRuleValue(node, place, key.str(), &rule);
  }
  const std::vector<v1::OverflowPolicy>& allowed = rule.overflow_allowed;
  const Place place = {table.source().begin.line, path};
  if (rule.overflow != v1::OVERFLOW_POLICY_DEFAULT && !allowed.empty() &&
      std::find(allowed.begin(), allowed.end(), rule.overflow) == allowed.end()) {
    Problem(place, fmt::format("overflow {} is not in overflow_allowed; allowed: {}",
                               OverflowPolicyName(rule.overflow), NamesOf(allowed)));
  }
  if (!rule.conflate_header.empty() && !allowed.empty() &&
      std::find(allowed.begin(), allowed.end(), v1::OVERFLOW_POLICY_CONFLATE) == allowed.end()) {
    Problem(place, "conflate_header is for the policy conflate, which overflow_allowed does not have");
  }
  config_->subscription_rules.push_back(std::move(rule));
}

void FileReader::ReadRuleValue(const toml::node& node, const Place& place, std::string_view key,
                               SubscriptionRule* rule) {
  std::vector<std::string> known = {"filter",           "client",          "overflow",
                                    "overflow_allowed", "conflate_header", "on_overflow"};
  for (const RuleLimit& limit : RuleLimits()) {
    if (limit.key == key) return ReadRuleLimit(node, place, limit, rule);
    known.emplace_back(limit.key);
  }
  if (key == "on_overflow") {
    const Setting& setting = *FindSetting("limits.on_overflow");
    const std::optional<std::string> text = AsText(setting, node, place);
    if (!text.has_value()) return;
    Config read;
    const absl::Status status = Assign(setting, *text, &read);
    if (!status.ok()) return Problem(place, std::string(status.message()));
    rule->on_overflow = read.on_overflow;
  } else if (key == "overflow") {
    rule->overflow = ReadPolicy(node, place).value_or(v1::OVERFLOW_POLICY_DEFAULT);
  } else if (key == "overflow_allowed") {
    const toml::array* policies = node.as_array();
    if (policies == nullptr || policies->empty()) {
      return Problem(place, fmt::format("wants a list of policies, like [\"conflate\"]; allowed: {}",
                                        NamesOf(OverflowPoliciesOffered())));
    }
    for (const toml::node& one : *policies) {
      const std::optional<v1::OverflowPolicy> policy = ReadPolicy(one, place);
      if (!policy.has_value()) return;
      rule->overflow_allowed.push_back(*policy);
    }
  } else if (key == "filter" || key == "client" || key == "conflate_header") {
    ReadRuleText(node, place, key, rule);
  } else {
    Problem(place, fmt::format("unknown key{}; allowed: {}", DidYouMean(std::string(key), known),
                               fmt::join(known, ", ")));
  }
}

void FileReader::ReadRuleLimit(const toml::node& node, const Place& place, const RuleLimit& limit,
                               SubscriptionRule* rule) {
  const Setting& setting = *FindSetting(limit.setting);
  const std::optional<std::string> text = AsText(setting, node, place);
  if (!text.has_value()) return;
  Config read;
  const absl::Status status = Assign(setting, *text, &read);
  if (!status.ok()) return Problem(place, std::string(status.message()));
  std::visit(
      [&](auto member) {
        using Value = typename std::remove_reference_t<decltype(rule->*member)>::value_type;
        rule->*member = read.*std::get<Value Config::*>(setting.member);
      },
      limit.member);
}

void FileReader::ReadRuleText(const toml::node& node, const Place& place, std::string_view key,
                              SubscriptionRule* rule) {
  const std::optional<std::string> text =
      node.is_string() ? node.value_exact<std::string>() : std::optional<std::string>();
  if (!text.has_value()) return Problem(place, "wants a text in quotes");
  if (key == "filter") {
    if (const absl::Status valid = ValidateFilter(*text); !valid.ok()) {
      return Problem(place, std::string(valid.message()));
    }
    rule->filter = *text;
    return;
  }
  if (text->empty() || Printable(*text, kClientNameBytesMax) != *text) {
    return Problem(place, fmt::format("'{}' is no name; allowed: 1 to {} bytes of printable UTF-8",
                                      Printable(*text), kClientNameBytesMax));
  }
  (key == "client" ? rule->client : rule->conflate_header) = *text;
}

std::optional<v1::OverflowPolicy> FileReader::ReadPolicy(const toml::node& node, const Place& place) {
  const std::optional<std::string> text =
      node.is_string() ? node.value_exact<std::string>() : std::optional<std::string>();
  if (text.has_value()) {
    for (const v1::OverflowPolicy policy : OverflowPoliciesOffered()) {
      if (OverflowPolicyName(policy) == *text) return policy;
    }
  }
  Problem(place, fmt::format("{}; allowed: {}",
                             text.has_value() ? fmt::format("'{}' is no policy", Printable(*text))
                                              : "wants a policy in quotes",
                             NamesOf(OverflowPoliciesOffered())));
  return std::nullopt;
}

std::optional<std::string> FileReader::AsText(const Setting& setting, const toml::node& node,
                                              const Place& place) {
  const bool number_allowed = setting.kind == SettingKind::kCount || setting.kind == SettingKind::kBytes;
  const bool text_allowed = setting.kind != SettingKind::kCount;
  const std::optional<int64_t> number = node.is_integer() ? node.value_exact<int64_t>() : std::nullopt;
  // A bare 0 needs no unit.
  if (number.has_value() && (number_allowed || (setting.kind == SettingKind::kDuration && *number == 0))) {
    return std::to_string(*number);
  }
  if (node.is_string() && text_allowed) return node.value_exact<std::string>();
  Problem(place, fmt::format("wants {}; allowed: {}",
                             !text_allowed    ? "a whole number"
                             : number_allowed ? "a whole number or a size in quotes, like \"8MiB\""
                             : setting.kind == SettingKind::kDuration ? "a duration in quotes, like \"10s\""
                                                                      : "a text in quotes",
                             setting.Allowed()));
  return std::nullopt;
}

}  // namespace

std::string RulePath(size_t index) { return fmt::format("{}[{}]", kRules, index + 1); }

std::vector<std::string> ReadConfigFile(const std::string& path, Config* config, Origins* origins) {
  return FileReader(path, config, origins).Read();
}

}  // namespace sluice
