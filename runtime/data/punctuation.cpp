#include "runtime/data/punctuation.h"

#include <algorithm>
#include <array>

namespace interlock {
namespace {

constexpr std::array<std::string_view, 10> closing = {
    "\"", "'", ")", "]", "}", "\xe2\x80\x99", "\xe2\x80\x9d", "\xc2\xbb", "\xe3\x80\x8d", "\xe3\x80\x8f"};
constexpr std::array<std::string_view, 4> marks = {".", "!", "?", "\xe2\x80\xa6"};
constexpr std::array<std::string_view, 3> full_width_marks = {"\xe3\x80\x82", "\xef\xbc\x81", "\xef\xbc\x9f"};

bool ends_with_one_of(std::string_view text, const auto& endings) {
  return std::ranges::any_of(endings, [&](std::string_view ending) { return text.ends_with(ending); });
}

std::string_view without_closing(std::string_view text) {
  while (true) {
    const auto last = std::ranges::find_if(closing, [&](std::string_view one) { return text.ends_with(one); });
    if (last == closing.end()) return text;
    text.remove_suffix(last->size());
  }
}

}  // namespace

Punctuation punctuation_of(std::string_view token) {
  Punctuation found;
  if (token.empty() || token.find('\n') != std::string_view::npos) return found;
  const size_t first = token.find_first_not_of(" \t");
  if (first == std::string_view::npos) {
    found.blank = true;
    return found;
  }
  found.spaced = first > 0;
  found.small = token[first] >= 'a' && token[first] <= 'z';
  const std::string_view body = without_closing(token.substr(first));
  found.closes = body.empty() && first == 0;
  found.stops = ends_with_one_of(body, marks);
  found.full = ends_with_one_of(body, full_width_marks);
  return found;
}

}  // namespace interlock
