#pragma once
// The report of a comparison for people: a page, and the same in Markdown without its pictures.

#include <string>

#include "launch/comparison/outcome.h"

namespace interlock {

std::string report_html(const Outcome& outcome);
std::string report_markdown(const Outcome& outcome);
// In plain words: what a reader must not take from it.
std::vector<std::string> not_shown(const Outcome& outcome);

}  // namespace interlock
