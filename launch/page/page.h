#pragma once
// A page that needs nothing but itself: style and pictures are inside, there is no script, and nothing is fetched.
// Light or dark as the reader's system says, light on paper.

#include <string>
#include <vector>

namespace interlock {

struct PageSection {
  std::string heading;
  std::string body;  // HTML
};

// `lead` is HTML: what stands before the first section. Sections are listed below it when there are several.
std::string page_of(const std::string& title, const std::string& lead, const std::vector<PageSection>& sections);

std::string paragraph(const std::string& text);                  // plain text
std::string list_of(const std::vector<std::string>& sentences);  // plain texts
std::string figures(const std::string& all);                     // side by side where there is room

}  // namespace interlock
