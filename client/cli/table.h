// Lines with aligned columns, for people. What comes from outside is made fit for a terminal.
//
//   Table table({{"CLIENT", Table::Align::kLeft}, {"PENDING", Table::Align::kRight}});
//   table.Add({"dash-7", "6.5 MiB"});
//   table.ToString()
//
// Thread safety: none.
#ifndef SLUICE_CLIENT_CLI_TABLE_H_
#define SLUICE_CLIENT_CLI_TABLE_H_

#include <string>
#include <vector>

namespace sluice::cli {

class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // As many cells as columns.
  void Add(std::vector<std::string> cells);
  size_t size() const { return rows_.size(); }

  // The title line first. Columns are counted in characters of UTF-8.
  std::vector<std::string> Lines() const;
  std::string ToString() const;

 private:
  const std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_TABLE_H_
