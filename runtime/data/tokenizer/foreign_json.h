#pragma once
// Lines of JSON as other programs write them although JSON has no such thing: Python's json.dumps writes NaN and
// Infinity for numbers, and halves of a UTF-16 pair (a lone surrogate, "\ud800") as escapes.

#include <cstdint>
#include <string>
#include <string_view>

namespace interlock {

// NaN, Infinity and -Infinity outside of strings become null: a reader that does not want that field is not kept from
// the others.
std::string without_foreign_numbers(std::string_view line);
// Every escape of a lone surrogate becomes "\ufffd"; `replaced` grows by their number.
std::string without_lone_surrogates(std::string_view line, int64_t& replaced);

}  // namespace interlock
