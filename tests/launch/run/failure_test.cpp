// What a person reads of an exception that nobody foresaw: the command, the file at hand, and that it is our fault.
#include "launch/run/failure.h"

#include <c10/util/Exception.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <stdexcept>

#include "runtime/core/error.h"
#include "runtime/core/readable_file.h"

namespace interlock {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

template <class Exception>
Error last_error_of(const Exception& thrown) {
  try {
    throw thrown;
  } catch (...) {
    return last_error("fill");
  }
}

TEST(LastError, OfALibraryNamesCommandAndFileAndAsksForAReport) {
  note_file_at_hand("odd\x1b[2J.safetensors");
  const Error error = last_error_of(std::out_of_range("basic_string::substr"));
  EXPECT_EQ(error.code(), ExitCode::gave_up);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("`interlock fill`"), HasSubstr("basic_string::substr"),
                                  HasSubstr("odd\\u001b[2J.safetensors"), HasSubstr("please report it")));
}

TEST(LastError, OfNoExceptionAtAllIsASentenceToo) {
  const Error error = last_error_of(42);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("`interlock fill`"), HasSubstr("says nothing"), HasSubstr("report")));
}

TEST(LastError, OfLibTorchHasNoStackTrace) {
  const Error error = last_error_of(c10::Error({"f", "f.cpp", 1}, "shapes differ"));
  EXPECT_THAT(error.what(), AllOf(HasSubstr("shapes differ"), Not(HasSubstr("f.cpp"))));
}

// What we foresaw stays as it was said: no fault of the program.
TEST(LastError, OfOursIsAsItWas) {
  const Error error = last_error_of(Error(ExitCode::config, "run.steps is 0"));
  EXPECT_EQ(error.code(), ExitCode::config);
  EXPECT_STREQ(error.what(), "run.steps is 0");
}

TEST(LastError, OfMemoryAndFilesIsForeseen) {
  EXPECT_THAT(last_error_of(std::bad_alloc()).what(), AllOf(HasSubstr("out of memory"), Not(HasSubstr("report"))));
  const Error error = last_error_of(
      std::filesystem::filesystem_error("status", "/some/where", std::make_error_code(std::errc::permission_denied)));
  EXPECT_EQ(error.code(), ExitCode::bad_input);
  EXPECT_STREQ(error.what(), "/some/where: Permission denied");
}

}  // namespace
}  // namespace interlock
