#pragma once
// Tables of texts: TSV, CSV or JSON Lines. Torch-free.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace interlock {

struct TableRequest {
  // By name (of the header line, or a key of the JSON objects), or by number from 0. An empty one is not asked for: its
  // fields are "".
  std::vector<std::string> columns;
  std::optional<bool> header;  // whether the first line names the columns; none: it does if one is asked for by name
};

struct TableRow {
  int64_t line = 0;                 // where it begins, from 1
  std::vector<std::string> fields;  // as many as columns were asked for; UTF-8
};

struct TextTable {
  std::vector<TableRow> rows;
  int64_t empty_lines = 0;  // left out
};

enum class TableFormat {
  tabs,     // .tsv, .txt
  commas,   // .csv, RFC 4180
  objects,  // .jsonl, .ndjson
};

// By the ending of `path`, in small letters or capitals. Error(bad_input): one of no table, a folder, a compressed
// file. It does not name the path.
TableFormat table_format(const std::string& path);

// `path` ends as its format does. Error(bad_input) names the file and the line: a format that is not known, a column
// that is not there (with those that are) or stands twice, a row of another number of fields, a quote that does not
// end, what is not UTF-8, a table without rows.
TextTable read_table(const std::string& path, const TableRequest& request);
// The same of a text; errors name the line alone.
TextTable parse_table(std::string_view text, TableFormat format, const TableRequest& request);

// Whether the first line of a table names, or has, this column (one of the request's; the header is as it says).
bool has_column(const std::string& path, const TableRequest& request, const std::string& column);

}  // namespace interlock
