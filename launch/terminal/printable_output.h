#pragma once
// The standard output of a command. What is quoted on it comes from files, names and networks, so control characters
// (but for newline and tab) are printed escaped.

#include <ostream>
#include <streambuf>

#include "runtime/core/printable.h"

namespace interlock {

// While one lives, std::cout goes through it.
class PrintableOutput : private std::streambuf {
 public:
  PrintableOutput();
  ~PrintableOutput() override;
  PrintableOutput(const PrintableOutput&) = delete;
  void finish();  // what was held back of a character that has not come whole

 private:
  int overflow(int c) override;
  std::streamsize xsputn(const char* text, std::streamsize size) override;
  int sync() override;
  bool pass_on(const std::string& text);

  PrintableStream stream_;
  std::streambuf* to_;
};

// Standard output as it is: for a text that was asked for byte by byte, and for what moves the cursor on purpose.
std::ostream& raw_output();

}  // namespace interlock
