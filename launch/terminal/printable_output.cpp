// A stream buffer in front of that of std::cout.

#include "launch/terminal/printable_output.h"

#include <iostream>

namespace interlock {
namespace {

std::streambuf* behind_printable = nullptr;  // null: std::cout is as it is

}  // namespace

PrintableOutput::PrintableOutput() : to_(std::cout.rdbuf(this)) { behind_printable = to_; }

PrintableOutput::~PrintableOutput() {
  finish();
  std::cout.rdbuf(to_);
  behind_printable = nullptr;
}

void PrintableOutput::finish() { pass_on(stream_.finish()); }

bool PrintableOutput::pass_on(const std::string& text) {
  const auto size = static_cast<std::streamsize>(text.size());
  return to_->sputn(text.data(), size) == size;
}

int PrintableOutput::overflow(int c) {
  if (traits_type::eq_int_type(c, traits_type::eof())) return traits_type::not_eof(c);
  const char one = traits_type::to_char_type(c);
  return pass_on(stream_.feed({&one, 1})) ? c : traits_type::eof();
}

std::streamsize PrintableOutput::xsputn(const char* text, std::streamsize size) {
  return pass_on(stream_.feed({text, static_cast<size_t>(size)})) ? size : 0;
}

int PrintableOutput::sync() { return to_->pubsync(); }

std::ostream& raw_output() {
  static std::ostream raw(nullptr);
  std::streambuf* const behind = behind_printable != nullptr ? behind_printable : std::cout.rdbuf();
  if (raw.rdbuf() != behind) raw.rdbuf(behind);  // which forgets what failed before
  return raw;
}

}  // namespace interlock
