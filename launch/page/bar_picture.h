#pragma once
// Stacked bars, one row for each thing: shares of a whole that ends where the axis ends.

#include <string>
#include <vector>

namespace interlock {

struct BarRow {
  std::string name;
  std::vector<double> parts;  // in the order of BarPicture::parts
};

struct BarPicture {
  std::string title;
  std::vector<std::string> parts;
  std::vector<BarRow> rows;
  std::string note = "";
};

std::string figure_of(const BarPicture& picture);  // "" without rows

}  // namespace interlock
