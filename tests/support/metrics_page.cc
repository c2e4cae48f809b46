#include "tests/support/metrics_page.h"

#include <algorithm>
#include <stdexcept>

namespace sluice::testing {
namespace {

[[noreturn]] void Fail(std::string_view line, const char* why) {
  throw std::runtime_error(std::string(why) + ": " + std::string(line));
}

// The part of `text` before `separator`; `text` becomes what stands behind it.
std::string Take(std::string_view* text, char separator) {
  const size_t end = text->find(separator);
  if (end == std::string_view::npos) Fail(*text, "too short");
  std::string taken(text->substr(0, end));
  text->remove_prefix(end + 1);
  return taken;
}

bool BelongsTo(std::string_view series, const MetricsPage::Family& family) {
  std::string_view name = series.substr(0, series.find('{'));
  if (family.type == "histogram") {
    for (const std::string_view suffix : {"_bucket", "_sum", "_count"}) {
      if (name.ends_with(suffix)) return name.substr(0, name.size() - suffix.size()) == family.name;
    }
    return false;
  }
  return name == family.name;
}

}  // namespace

MetricsPage::MetricsPage(std::string_view text) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) Fail(text, "the last line is not ended");
    AddLine(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
}

void MetricsPage::AddLine(std::string_view line) {
  constexpr std::string_view kHelp = "# HELP ";
  constexpr std::string_view kType = "# TYPE ";
  std::string_view rest = line;
  if (line.starts_with(kHelp)) {
    rest.remove_prefix(kHelp.size());
    Family family;
    family.name = Take(&rest, ' ');
    family.help = std::string(rest);
    if (Find(family.name) != nullptr) Fail(line, "twice on the page");
    families_.push_back(std::move(family));
  } else if (line.starts_with(kType)) {
    rest.remove_prefix(kType.size());
    if (families_.empty() || Take(&rest, ' ') != families_.back().name || !families_.back().type.empty()) {
      Fail(line, "not behind its help");
    }
    families_.back().type = std::string(rest);
  } else {
    // A value of a label may hold spaces, a number cannot.
    const size_t space = line.rfind(' ');
    if (space == std::string_view::npos) Fail(line, "no sample");
    const std::string series(line.substr(0, space));
    const std::string number(line.substr(space + 1));
    size_t used = 0;
    const double value = std::stod(number, &used);
    if (used != number.size()) Fail(line, "no number");
    if (families_.empty() || !BelongsTo(series, families_.back())) Fail(line, "not of this family");
    if (!values_.emplace(series, value).second) Fail(line, "twice on the page");
    families_.back().series.push_back(series);
  }
}

double MetricsPage::Value(const std::string& series) const {
  const auto found = values_.find(series);
  if (found == values_.end()) throw std::runtime_error("not on the page: " + series);
  return found->second;
}

const MetricsPage::Family* MetricsPage::Find(std::string_view name) const {
  const auto found = std::find_if(families_.begin(), families_.end(),
                                  [&](const Family& family) { return family.name == name; });
  return found == families_.end() ? nullptr : &*found;
}

}  // namespace sluice::testing
