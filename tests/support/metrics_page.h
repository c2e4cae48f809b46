// What stands on a /metrics page, for tests that look at numbers. Strict: what is not as Prometheus wants it
// throws std::runtime_error.
//
//   const MetricsPage page(HttpGet(port, "/metrics").body);
//   EXPECT_EQ(page.Value("sluice_sessions_ended_total{reason=\"write_timeout\"}"), 1);
#ifndef SLUICE_TESTS_SUPPORT_METRICS_PAGE_H_
#define SLUICE_TESTS_SUPPORT_METRICS_PAGE_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::testing {

class MetricsPage {
 public:
  struct Family {
    std::string name;
    std::string help;
    std::string type;
    std::vector<std::string> series;  // with their labels
  };

  explicit MetricsPage(std::string_view text);

  // `series` with its labels as on the page. Throws when it is not there.
  double Value(const std::string& series) const;

  // In the order of the page.
  const std::vector<Family>& families() const { return families_; }
  const std::map<std::string, double>& values() const { return values_; }

  // nullptr when there is none.
  const Family* Find(std::string_view name) const;

 private:
  void AddLine(std::string_view line);

  std::vector<Family> families_;
  std::map<std::string, double> values_;
};

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_METRICS_PAGE_H_
