// One flat JSON object per line, which is all that --json prints.
//
//   JsonObject object;
//   object.Add("topic", topic).Add("count", uint64_t{3});
//   object.AppendTo(&line);                                  // {"topic":"a.b","count":3}
//
// Thread safety: none for one object.
#ifndef SLUICE_CLIENT_CLI_JSON_H_
#define SLUICE_CLIENT_CLI_JSON_H_

#include <concepts>
#include <string>
#include <string_view>

namespace sluice::cli {

// Appends `text`, which must be valid UTF-8, as a JSON string with its quotes.
void AppendJsonString(std::string_view text, std::string* out);

class JsonObject {
 public:
  // Invalid UTF-8 in a value is replaced by U+FFFD. Keys are ours, and plain.
  JsonObject& Add(std::string_view key, std::string_view value);
  JsonObject& Add(std::string_view key, const std::string& value) {
    return Add(key, std::string_view(value));
  }
  JsonObject& Add(std::string_view key, const char* value) { return Add(key, std::string_view(value)); }
  // Six significant digits; what is no number becomes null.
  JsonObject& Add(std::string_view key, double value);
  template <std::integral Number>
  JsonObject& Add(std::string_view key, Number value) {
    if constexpr (std::same_as<Number, bool>) {
      return AddRaw(key, value ? "true" : "false");
    } else {
      return AddRaw(key, std::to_string(value));
    }
  }
  // `json` is JSON already.
  JsonObject& AddRaw(std::string_view key, std::string_view json);

  void AppendTo(std::string* out) const;
  std::string ToString() const;

 private:
  std::string members_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_JSON_H_
