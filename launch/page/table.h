#pragma once
// A table with headers, as HTML and as Markdown.

#include <string>
#include <vector>

namespace interlock {

struct Table {
  std::string caption;
  std::vector<std::string> columns;  // the first one heads the rows
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> row_classes = {};  // of CSS, by row; may be shorter
};

std::string html_of(const Table& table);  // scrolls sideways where the page is narrow
std::string markdown_of(const Table& table);

}  // namespace interlock
