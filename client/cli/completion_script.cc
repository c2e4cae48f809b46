#include "client/cli/completion_script.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string_view>
#include <vector>

namespace sluice::cli {
namespace {

std::vector<const CLI::App*> CommandsOf(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* command) { return !command->get_name().empty(); });
}

// "-n" and "--count" of one option; none for a positional argument.
std::vector<std::string> NamesOf(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

bool TakesValue(const CLI::Option& option) { return option.get_expected_max() > 0; }
constexpr char kBashFiles[] =
    "compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); ";

bool TakesPath(const CLI::Option& option) { return option.get_type_name() == "PATH"; }

// "" for the root, "demo slow-consumer" below it.
template <typename Visit>
void VisitCommands(const CLI::App& app, const std::string& path, Visit&& visit) {
  visit(app, path);
  for (const CLI::App* command : CommandsOf(app)) {
    VisitCommands(*command, path.empty() ? command->get_name() : path + " " + command->get_name(), visit);
  }
}

std::vector<std::string> WordsOf(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::App* command : CommandsOf(app)) words.push_back(command->get_name());
  for (const CLI::Option* option : app.get_options()) {
    const std::vector<std::string> names = NamesOf(*option);
    words.insert(words.end(), names.begin(), names.end());
  }
  return words;
}

// A value of `'name[help]'` in a zsh specification, itself within single quotes.
std::string ZshEscaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\'') {
      escaped += "'\\''";
      continue;
    }
    if (c == '[' || c == ']' || c == ':' || c == '\\') escaped.push_back('\\');
    escaped.push_back(c);
  }
  return escaped;
}

std::string ZshOptions(const CLI::App& app, std::string_view indent) {
  std::string lines;
  for (const CLI::Option* option : app.get_options()) {
    const std::vector<std::string> names = NamesOf(*option);
    for (const std::string& name : names) {
      const std::string excluded = option->get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll
                                       ? "*"
                                       : fmt::format("({})", fmt::join(names, " "));
      const std::string value = !TakesValue(*option) ? ""
                                : TakesPath(*option)
                                    ? ":path:_files"
                                    : fmt::format(":{}:", ZshEscaped(option->get_type_name()));
      lines += fmt::format("{}'{}{}[{}]{}' \\\n", indent, excluded, name,
                           ZshEscaped(option->get_description()), value);
    }
  }
  return lines;
}

std::string ZshFunctionOf(std::string_view path) {
  std::string name = "_sluice";
  if (!path.empty()) name += "_" + std::string(path);
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

}  // namespace

std::string BashCompletion(const CLI::App& root) {
  std::string find, values, words;
  VisitCommands(root, "", [&](const CLI::App& app, const std::string& path) {
    std::vector<std::string> commands;
    for (const CLI::App* command : CommandsOf(app)) commands.push_back(command->get_name());
    for (const std::string& command : commands) {
      find += fmt::format("      '{}:{}') command='{}' ;;\n", path, command,
                          path.empty() ? command : path + " " + command);
    }
    for (const CLI::Option* option : app.get_options()) {
      if (!TakesValue(*option)) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : NamesOf(*option)) patterns.push_back(fmt::format("'{}:{}'", path, name));
      if (patterns.empty()) continue;
      values += fmt::format("    {}) {}return ;;\n", fmt::join(patterns, " | "),
                            TakesPath(*option) ? kBashFiles : "");
    }
    words += fmt::format("    '{}') words='{}' ;;\n", path, fmt::join(WordsOf(app), " "));
  });
  return fmt::format(R"(# Completes `sluice` in bash. Made by `sluice completion bash`.
_sluice() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} command='' words='' i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$command:${{COMP_WORDS[i]}}" in
{}    esac
  done
  case "$command:$previous" in
{}  esac
  case "$command" in
{}  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}
complete -F _sluice sluice
)",
                     find, values, words);
}

std::string ZshCompletion(const CLI::App& root) {
  std::string functions;
  VisitCommands(root, "", [&](const CLI::App& app, const std::string& path) {
    const std::vector<const CLI::App*> commands = CommandsOf(app);
    std::string body = fmt::format("{}() {{\n", ZshFunctionOf(path));
    if (commands.empty()) {
      body += fmt::format("  _arguments -s \\\n{}    '*: :'\n", ZshOptions(app, "    "));
    } else {
      body += "  local state\n  local -a commands\n  commands=(\n";
      for (const CLI::App* command : commands) {
        body += fmt::format("    '{}:{}'\n", command->get_name(), ZshEscaped(command->get_description()));
      }
      body += fmt::format(
          "  )\n  _arguments -C \\\n{}    '1: :->command' \\\n    '*:: :->rest'\n"
          "  case $state in\n    command) _describe command commands ;;\n    rest)\n      case $words[1] "
          "in\n",
          ZshOptions(app, "    "));
      for (const CLI::App* command : commands) {
        body +=
            fmt::format("        {}) {} ;;\n", command->get_name(),
                        ZshFunctionOf(path.empty() ? command->get_name() : path + " " + command->get_name()));
      }
      body += "      esac ;;\n  esac\n";
    }
    functions += body + "}\n";
  });
  return fmt::format(
      "#compdef sluice\n# Completes `sluice` in zsh. Made by `sluice completion zsh`.\n{}\n"
      "if [ \"$funcstack[1]\" = _sluice ]; then\n  _sluice \"$@\"\nelse\n  compdef _sluice sluice\nfi\n",
      functions);
}

}  // namespace sluice::cli
