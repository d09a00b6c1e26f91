#include "launch/page/table.h"

#include "launch/page/markup.h"
#include "runtime/core/error.h"

namespace interlock {

namespace {

// An interval behind a number, " [low, high]", stands on a line of its own: tables of several fit a page.
std::string cell_html(const std::string& text) {
  const size_t interval = text.find(" [");
  if (interval == std::string::npos) return escaped(text);
  return escaped(text.substr(0, interval)) + "<br/>" + escaped(text.substr(interval + 1));
}

}  // namespace

std::string html_of(const Table& table) {
  std::string out =
      message("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"", escaped(table.caption),
              "\"><table><caption>", escaped(table.caption), "</caption>\n<thead><tr>");
  for (const std::string& column : table.columns) out += "<th scope=\"col\">" + escaped(column) + "</th>";
  out += "</tr></thead>\n<tbody>\n";
  for (size_t row = 0; row < table.rows.size(); ++row) {
    const bool marked = row < table.row_classes.size() && !table.row_classes[row].empty();
    out += marked ? "<tr class=\"" + table.row_classes[row] + "\">" : "<tr>";
    for (size_t i = 0; i < table.rows[row].size(); ++i)
      out += i == 0 ? "<th scope=\"row\">" + escaped(table.rows[row][i]) + "</th>"
                    : "<td>" + cell_html(table.rows[row][i]) + "</td>";
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

namespace {

std::string cell(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '|') safe += '\\';
    safe += c == '\n' ? ' ' : c;
  }
  return safe;
}

std::string line(const std::vector<std::string>& cells) {
  std::string out = "|";
  for (const std::string& each : cells) out += " " + cell(each) + " |";
  return out + "\n";
}

}  // namespace

std::string markdown_of(const Table& table) {
  std::string out = line(table.columns) + "|";
  for (size_t i = 0; i < table.columns.size(); ++i) out += " --- |";
  out += "\n";
  for (const auto& row : table.rows) out += line(row);
  return out;
}

}  // namespace interlock
