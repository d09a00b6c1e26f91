#pragma once
// Text that came from elsewhere (a file, a name, a library) as messages and the standard output may show it: nothing in
// it moves a cursor, colours a terminal, or makes one message look like two.

#include <string>
#include <string_view>
#include <vector>

namespace interlock {

// On one line: control characters (C0, DEL, C1) as JSON and TOML write them (\n, \t, \u001b), and so those that turn
// the direction of text (U+202A to U+202E, U+2066 to U+2069); bytes that are no UTF-8 as \xe9.
std::string printable(std::string_view text);
// Whether the text holds such a character.
bool has_controls(std::string_view text);
// The same for a whole message: newlines and tabs stay.
std::string printable_lines(std::string_view text);

// The same for text that comes piece by piece, whose characters may be cut between pieces.
class PrintableStream {
 public:
  std::string feed(std::string_view piece);
  std::string finish();  // what was held back for its other half

 private:
  std::string held_;
};

bool is_utf8(std::string_view text);
// A string as TOML takes it, for configs that we write. Error(config) says that a `what` is not UTF-8, as TOML must be.
std::string toml_quoted(const std::string& text, const std::string& what);
std::string toml_quoted(const std::vector<std::string>& texts, const std::string& what);

}  // namespace interlock
