#include "client/cli/broker_log.h"

#include <algorithm>
#include <charconv>

namespace sluice::cli {
namespace {

bool IsKeyCharacter(char c) { return (c >= 'a' && c <= 'z') || c == '_'; }

// Where the first " key=" of `rest` begins, or its end.
size_t FirstField(std::string_view rest) {
  for (size_t space = rest.find(' '); space != std::string_view::npos; space = rest.find(' ', space + 1)) {
    const std::string_view word = rest.substr(space + 1);
    const auto key_end = std::find_if_not(word.begin(), word.end(), IsKeyCharacter);
    if (key_end != word.begin() && key_end != word.end() && *key_end == '=') return space;
  }
  return rest.size();
}

// Cuts what stands before the next run of spaces off `rest`.
std::string_view NextWord(std::string_view* rest) {
  const std::string_view word = rest->substr(0, rest->find(' '));
  rest->remove_prefix(word.size());
  rest->remove_prefix(std::min(rest->find_first_not_of(' '), rest->size()));
  return word;
}

// " key=value" or " key=\"some value\"" at the head of `rest`, cut off.
void TakeField(std::string_view* rest, LogLine* line) {
  rest->remove_prefix(1);
  const size_t equals = std::min(rest->find('='), rest->size());
  const std::string key(rest->substr(0, equals));
  rest->remove_prefix(std::min(equals + 1, rest->size()));
  if (!rest->starts_with('"')) {
    const std::string_view value = rest->substr(0, rest->find(' '));
    line->fields.emplace(key, value);
    return rest->remove_prefix(value.size());
  }
  rest->remove_prefix(1);
  // The broker writes no quote within a value.
  const std::string_view value = rest->substr(0, rest->find('"'));
  line->fields.emplace(key, value);
  rest->remove_prefix(std::min(value.size() + 1, rest->size()));
}

}  // namespace

std::string_view LogLine::Field(std::string_view key) const {
  const auto field = fields.find(key);
  return field == fields.end() ? std::string_view() : field->second;
}

uint64_t LogLine::Number(std::string_view key) const {
  const std::string_view value = Field(key);
  uint64_t number = 0;
  std::from_chars(value.data(), value.data() + value.size(), number);
  return number;
}

LogLine ParseLogLine(std::string_view text) {
  LogLine line;
  line.text = text;
  std::string_view rest = text;
  const std::string_view time = NextWord(&rest);
  if (!time.ends_with('Z')) {
    line.message = text;
    return line;
  }
  line.level = NextWord(&rest);
  line.message = rest.substr(0, FirstField(rest));
  rest.remove_prefix(line.message.size());
  while (!rest.empty()) TakeField(&rest, &line);
  return line;
}

}  // namespace sluice::cli
