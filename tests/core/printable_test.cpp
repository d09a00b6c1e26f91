// Text of strangers as messages and terminals may have it.

#include "runtime/core/printable.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

TEST(Printable, EscapesControlCharactersAndKeepsText) {
  EXPECT_EQ(printable("a\x1b[31mb"), "a\\u001b[31mb");
  EXPECT_EQ(printable("one\ntwo\ttab\r"), "one\\ntwo\\ttab\\u000d");
  EXPECT_EQ(printable("\x7f"), "\\u007f");
  EXPECT_EQ(printable("\xc2\x9b"), "\\u009b") << "C1: a terminal may take it for ESC [";
  EXPECT_EQ(printable("\xc2\xa0"), "\xc2\xa0");
  EXPECT_EQ(printable("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"), "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
  EXPECT_EQ(printable(std::string_view("\0", 1)), "\\u0000");
}

TEST(Printable, EscapesWhatTurnsTheDirectionOfText) {
  EXPECT_EQ(printable("a\xe2\x80\xaetxt.exe"), "a\\u202etxt.exe");
  EXPECT_EQ(printable("\xe2\x80\xaa\xe2\x81\xa6\xe2\x81\xa9"), "\\u202a\\u2066\\u2069");
  EXPECT_EQ(printable("\xe2\x80\xa9\xe2\x80\xaf\xe2\x81\xaa"), "\xe2\x80\xa9\xe2\x80\xaf\xe2\x81\xaa") << "others";
  for (const char* text : {"a\nb", "\x7f", "\xc2\x9b", "\xe2\x80\xae"})
    EXPECT_TRUE(has_controls(text)) << printable(text);
  for (const char* text : {"", "h\xc3\xa9 \xe2\x82\xac", "\xc2\xa0"}) EXPECT_FALSE(has_controls(text)) << text;
}

// RFC 3629, sections 3 and 4.
TEST(Printable, ShowsBytesThatAreNoUtf8) {
  EXPECT_EQ(printable("caf\xe9"), "caf\\xe9");
  EXPECT_EQ(printable("\xc0\x80"), "\\xc0\\x80") << "overlong";
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "above U+10FFFF";
  EXPECT_EQ(printable("\x9b"), "\\x9b");
  EXPECT_EQ(printable("\xe2\x82"), "\\xe2\\x82") << "cut short";
  EXPECT_TRUE(is_utf8("\xed\x9f\xbf\xf4\x8f\xbf\xbf"));
  EXPECT_FALSE(is_utf8("\xe2\x82"));
  EXPECT_FALSE(is_utf8("\xf0\x8f\xbf\xbf"));
}

TEST(Printable, LinesKeepNewlinesAndTabs) { EXPECT_EQ(printable_lines("a\n\tb\x1b\n"), "a\n\tb\\u001b\n"); }

TEST(Printable, CharactersCutBetweenPiecesStayWhole) {
  PrintableStream stream;
  EXPECT_EQ(stream.feed("a\xe2"), "a");
  EXPECT_EQ(stream.feed("\x82"), "");
  EXPECT_EQ(stream.feed("\xac\xc2"), "\xe2\x82\xac");
  EXPECT_EQ(stream.feed("\x9b"), "\\u009b");
  EXPECT_EQ(stream.feed("\xf0\x9f"), "");
  EXPECT_EQ(stream.feed("x"), "\\xf0\\x9fx");
  EXPECT_EQ(stream.feed("\xe2"), "");
  EXPECT_EQ(stream.finish(), "\\xe2");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Printable, TomlStringsAreUtf8) {
  EXPECT_EQ(toml_quoted("a\"b\\c\n\x7f", "the file"), "\"a\\\"b\\\\c\\u000a\\u007f\"");
  EXPECT_EQ(toml_quoted(std::vector<std::string>{"a", "b"}, "the file"), "[\"a\", \"b\"]");
  try {
    toml_quoted("caf\xe9", "the file");
    ADD_FAILURE() << "a config would not be UTF-8";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    EXPECT_STREQ(error.what(), "the file caf\\xe9 is not UTF-8, and configs are; give it another name");
  }
}

// A name that is not known comes from a file as often as from a person.
TEST(Printable, UnknownNamesStayOnOneLine) {
  EXPECT_EQ(unknown_name("rule", "a\x1b]0;x\x07\nb", {"local"}),
            "unknown rule \"a\\u001b]0;x\\u0007\\nb\"; known: local");
}

TEST(Printable, ErrorsReachTheTerminalEscaped) {
  testing::internal::CaptureStderr();
  say_error("x\x1b[2J y\n  second line");
  log_warning(
      "z\xc2\x9b"
      "31m");
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, testing::HasSubstr("interlock: error: x\\u001b[2J y\n  second line\n"));
  EXPECT_THAT(said, testing::HasSubstr("warning: z\\u009b31m"));
}

}  // namespace
}  // namespace interlock
