#pragma once
// What a page of ours promises, whatever it is about.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace interlock {

// Every tag that is opened is closed, in order.
inline void expect_balanced(const std::string& html) {
  static const std::vector<std::string> alone = {"meta", "!DOCTYPE"};
  std::vector<std::string> open;
  for (size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const size_t end = html.find('>', at);
    ASSERT_NE(end, std::string::npos) << html.substr(at, 80);
    const std::string tag = html.substr(at + 1, end - at - 1), name = tag.substr(0, tag.find_first_of(" /\n", 1));
    if (tag.back() == '/' || std::find(alone.begin(), alone.end(), name) != alone.end()) continue;
    if (tag.front() != '/') {
      open.push_back(name);
      continue;
    }
    ASSERT_FALSE(open.empty()) << html.substr(at, 80);
    ASSERT_EQ(tag.substr(1), open.back()) << html.substr(at > 200 ? at - 200 : 0, 280);
    open.pop_back();
  }
  EXPECT_TRUE(open.empty()) << open.back();
}

inline size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

// Balanced; no script and nothing fetched; tables have a caption and headers, pictures a title and a text.
inline void expect_whole_page(const std::string& html) {
  expect_balanced(html);
  for (const char* outside : {"<script", "http://", "https://", "src=", "@import", "<link", "url(//", "NaN", "nan<"})
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
  EXPECT_NE(html.find("prefers-color-scheme:dark"), std::string::npos);
  EXPECT_NE(html.find("@media print"), std::string::npos);
  EXPECT_NE(html.find("name=\"viewport\""), std::string::npos);
  EXPECT_EQ(count_of(html, "<table"), count_of(html, "<caption>"));
  EXPECT_GE(count_of(html, "<th scope=\"col\">"), count_of(html, "<table"));
  EXPECT_EQ(count_of(html, "role=\"img\"><title>"), count_of(html, "<desc>"));
}

}  // namespace interlock
