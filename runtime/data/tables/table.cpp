// From a file to the columns that are asked for.
#include "runtime/data/tables/table.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/core/compressed.h"
#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"
#include "runtime/core/printable.h"
#include "runtime/data/tables/fields.h"
#include "runtime/data/tokenizer/foreign_json.h"
#include "runtime/data/tokenizer/strict_json.h"
#include "runtime/data/tokenizer/utf8.h"
#include "runtime/storage/mapped_file.h"

namespace interlock {
namespace {

using nlohmann::json;

using Format = TableFormat;

[[noreturn]] void refuse(const std::string& what) { throw Error(ExitCode::bad_input, what); }

bool is_number(const std::string& column) {
  return !column.empty() && column.size() < 6 && column.find_first_not_of("0123456789") == std::string::npos;
}

void check_utf8(const std::string& text, int64_t line) {
  try {
    require_utf8(text);
  } catch (const Error& problem) {
    // What spreadsheets call Unicode text begins with a byte order mark of UTF-16 (RFC 2781).
    const bool utf16 = text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff");
    refuse(message("line ", line, ": ", problem.what(), "; tables are UTF-8 (`iconv -f ", utf16 ? "utf-16" : "latin1",
                   " -t utf-8 OLD > NEW` converts one)"));
  }
}

bool has_header(const TableRequest& request) {
  const auto is_name = [](const std::string& column) { return !column.empty() && !is_number(column); };
  return request.header.value_or(std::ranges::any_of(request.columns, is_name));
}

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// Runs `act`; its errors get the file's name.
template <class Act>
auto naming(const std::string& path, Act act) {
  try {
    return act();
  } catch (const Error& error) {
    const std::string what = error.what();
    throw Error(error.code(), !what.starts_with(path + ": ") ? message(path, ": ", what) : what);
  }
}

// Fields by their place in the line.
class Columns {
 public:
  explicit Columns(const TableRequest& request) : request_(request), header_(has_header(request)) {}

  // A header line is no row. Empty: it was one.
  std::vector<TableRow> take(FieldsOfLine&& line) {
    for (const std::string& field : line.fields) check_utf8(field, line.line);
    if (count_ == 0) {
      count_ = line.fields.size();
      find_columns(line);
      if (header_) return {};
    }
    if (line.fields.size() != count_)
      refuse(message("line ", line.line, " has ", line.fields.size(), " fields where the first has ", count_,
                     ": a tab or a comma inside a field? In a .csv such a field stands in double quotes; a .jsonl ",
                     "holds any text"));
    TableRow row{line.line, {}};
    for (const int place : places_)
      row.fields.push_back(place < 0 ? "" : line.fields[static_cast<size_t>(place)]);  // twice, where twice asked for
    return {std::move(row)};
  }

 private:
  void find_columns(const FieldsOfLine& line) {
    for (const std::string& column : request_.columns) places_.push_back(column.empty() ? -1 : find(column, line));
  }

  int find(const std::string& column, const FieldsOfLine& line) const {
    const auto named = std::ranges::find(line.fields, column);
    if (header_ && named != line.fields.end()) {
      if (std::ranges::count(line.fields, column) > 1)
        refuse(message("line ", line.line, ": the column \"", column,
                       "\" stands twice in the header line; give the number of the one that is meant, from 0"));
      return static_cast<int>(named - line.fields.begin());
    }
    if (is_number(column)) {
      if (static_cast<size_t>(std::stoi(column)) < line.fields.size()) return std::stoi(column);
      refuse(message("line ", line.line, ": there is no column ", column, "; there are ", line.fields.size(),
                     ", numbered from 0"));
    }
    if (!header_) refuse(message("there is no header line that could name a column \"", column, "\"; give its number"));
    refuse(message("line ", line.line, ": ", unknown_name("column", column, line.fields),
                   ". Without a header line columns go by number, from 0"));
  }

  const TableRequest& request_;
  bool header_;
  size_t count_ = 0;
  std::vector<int> places_;
};

// A field as the text it stands for.
std::string text_of(const json& value, const std::string& key, int64_t line) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number() || value.is_boolean()) return value.dump();
  refuse(message("line ", line, ": \"", key, "\" is ",
                 value.is_null()    ? "null (or no number: NaN)"
                 : value.is_array() ? "a list"
                                    : "an object",
                 "; a text, a number or true and false are expected"));
}

TableRow row_of_object(const FieldsOfLine& line, const TableRequest& request) {
  check_utf8(line.fields.front(), line.line);
  const std::string& text = line.fields.front();
  const bool odd = text.find("NaN") != std::string::npos || text.find("Infinity") != std::string::npos;
  const json object = parse_strict_json(odd ? without_foreign_numbers(text) : text, message("line ", line.line));
  if (!object.is_object()) refuse(message("line ", line.line, ": is no JSON object, as each line of a .jsonl is"));
  TableRow row{line.line, {}};
  for (const std::string& column : request.columns) {
    if (column.empty()) {
      row.fields.emplace_back();
      continue;
    }
    const auto found = object.find(column);
    if (found == object.end()) {
      std::vector<std::string> keys;
      for (const auto& [key, value] : object.items()) keys.push_back(key);
      constexpr size_t shown = 20;
      const std::string nearest = nearest_name(column, keys);
      const bool more = keys.size() > shown;
      keys.resize(std::min(keys.size(), shown));
      refuse(message("line ", line.line, ": there is no key \"", printable(column), "\"",
                     nearest.empty() ? "" : "; did you mean \"" + printable(nearest) + "\"?",
                     nearest.empty() ? ";" : "", " there are: ", printable(join(keys)), more ? ", ..." : ""));
    }
    row.fields.push_back(text_of(*found, column, line.line));
  }
  return row;
}

std::string_view without_mark(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return text;
}

// Macintosh files of before 2001: one line, to everybody else.
void refuse_returns_alone(std::string_view text) {
  if (text.find('\n') == std::string_view::npos && text.find('\r') < text.size() - 1)
    refuse("lines end with carriage returns alone; `tr '\\r' '\\n' < OLD > NEW` makes them line feeds");
}

}  // namespace

TableFormat table_format(const std::string& path) {
  std::error_code absent;
  if (std::filesystem::is_directory(path, absent)) refuse("is a folder; name the tables in it, each by itself");
  if (const std::string compression = compression_of_file(path); !compression.empty())
    refuse(compressed_text(compression, path));
  const std::string written = std::filesystem::path(path).extension().string();
  std::string ending = written;
  std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (ending == ".tsv" || ending == ".txt") return Format::tabs;
  if (ending == ".csv") return Format::commas;
  if (ending == ".jsonl" || ending == ".ndjson") return Format::objects;
  refuse(message("the ending \"", written,
                 "\" says of no table; .tsv or .txt (tabs), .csv (commas and quotes) and .jsonl are read"));
}

TextTable parse_table(std::string_view text, TableFormat format, const TableRequest& request) {
  text = without_mark(text);
  refuse_returns_alone(text);
  TextTable table;
  if (format == Format::objects) {
    table.empty_lines =
        read_lines(text, [&](FieldsOfLine&& line) { table.rows.push_back(row_of_object(line, request)); });
  } else {
    Columns columns(request);
    const auto take = [&](FieldsOfLine&& line) {
      for (TableRow& row : columns.take(std::move(line))) table.rows.push_back(std::move(row));
    };
    table.empty_lines = format == Format::tabs ? read_separated(text, take) : read_quoted(text, take);
  }
  if (table.rows.empty()) refuse("has no rows");
  return table;
}

TextTable read_table(const std::string& path, const TableRequest& request) {
  return naming(path, [&] {
    const Format format = table_format(path);
    const MappedFile file(path);
    return parse_table(text_of(file), format, request);
  });
}

bool has_column(const std::string& path, const TableRequest& request, const std::string& column) {
  return naming(path, [&] {
    const Format format = table_format(path);
    const MappedFile file(path);
    const std::string_view text = without_mark(text_of(file));
    std::optional<FieldsOfLine> first;
    const auto take = [&](FieldsOfLine&& line) {
      if (!first) first = std::move(line);
    };
    format == Format::commas ? read_quoted(text, take)
    : format == Format::tabs ? read_separated(text, take)
                             : read_lines(text, take);
    if (!first) return false;
    if (format == Format::objects) {
      const json object = json::parse(first->fields.front(), nullptr, false);
      return object.is_object() && object.contains(column);
    }
    const bool named = std::ranges::find(first->fields, column) != first->fields.end();
    return (has_header(request) && named) ||
           (is_number(column) && static_cast<size_t>(std::stoi(column)) < first->fields.size());
  });
}

}  // namespace interlock
