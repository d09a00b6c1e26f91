// Tables of texts: the first byte says the format, whether a header is asked for and how columns go; the rest is the
// table. What is accepted has what was asked for in every row, in UTF-8, in the order of the lines, and written as a
// CSV with every field in quotes it reads back to the same.
#include "runtime/data/tables/table.h"

#include <array>
#include <vector>

#include "runtime/data/tokenizer/utf8.h"
#include "tests/fuzz/target.h"

using namespace interlock;

namespace {

struct Input {
  TableFormat format = TableFormat::tabs;
  TableRequest request;
  std::string_view text;
};

Input input_of(std::string_view bytes) {
  constexpr std::array formats{TableFormat::tabs, TableFormat::commas, TableFormat::objects};
  const auto choice = static_cast<unsigned char>(bytes.front());
  Input input{formats[choice % 3], {}, bytes.substr(1)};
  switch (choice / 3 % 4) {
    case 0:
      input.request = {{"text", "label"}, {}};
      break;
    case 1:
      input.request = {{"1", "", "0"}, {}};
      break;
    case 2:
      input.request = {{"text", "1"}, true};
      break;
    default:
      input.request = {{"0"}, false};
  }
  return input;
}

std::string as_csv(const TextTable& table) {
  std::string csv;
  for (const TableRow& row : table.rows) {
    for (size_t i = 0; i < row.fields.size(); ++i) {
      csv += i == 0 ? "\"" : ",\"";
      for (const char letter : row.fields[i]) csv += letter == '"' ? "\"\"" : std::string(1, letter);
      csv += '"';
    }
    csv += '\n';
  }
  return csv;
}

void check(const Input& input) {
  const TextTable table = parse_table(input.text, input.format, input.request);
  fuzz::require(!table.rows.empty(), "a table has rows");
  const size_t columns = input.request.columns.size();
  int64_t line = 0;
  for (const TableRow& row : table.rows) {
    fuzz::require(row.line > line, "rows come in the order of their lines");
    line = row.line;
    fuzz::require(row.fields.size() == columns, "a row has what was asked for");
    for (size_t i = 0; i < columns; ++i) {
      require_utf8(row.fields[i]);
      fuzz::require(!input.request.columns[i].empty() || row.fields[i].empty(), "what was not asked for is not there");
      fuzz::require(input.format != TableFormat::tabs || row.fields[i].find_first_of("\t\n") == std::string::npos,
                    "a field of a .tsv holds neither tab nor line feed");
    }
  }
  TableRequest all{{}, false};
  for (size_t i = 0; i < columns; ++i) all.columns.push_back(std::to_string(i));
  TextTable again;
  fuzz::require(
      fuzz::accepts(ExitCode::bad_input, [&] { again = parse_table(as_csv(table), TableFormat::commas, all); }),
      "rows in quotes read back");
  fuzz::require(again.rows.size() == table.rows.size(), "all rows read back");
  for (size_t i = 0; i < table.rows.size(); ++i)
    fuzz::require(again.rows[i].fields == table.rows[i].fields, "a row reads back to the same");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Input input = input_of(fuzz::text_of(data, size));
  fuzz::accepts(ExitCode::bad_input, [&] { check(input); });
  return 0;
}
