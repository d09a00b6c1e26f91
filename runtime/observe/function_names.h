#pragma once
// The functions of this program by their place in its file: for stacks, in which the kernel's words end at offsets.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace interlock {

class FunctionNames {
 public:
  // Reads the symbol table of a 64-bit ELF file; without one (a stripped file, no ELF, none at all) nothing is named.
  explicit FunctionNames(const std::string& file);

  // The function that holds this offset, without its parameters: "interlock::Engine::step".
  std::optional<std::string> at(uint64_t offset) const;

 private:
  struct Function {
    uint64_t begin, end;
    std::string symbol;
  };
  std::vector<Function> functions_;  // by begin
};

// A line of backtrace_symbols, "FILE(+0xOFFSET) [0xADDRESS]" where FILE is this program: with the function's name in
// place of the offset's plus. Any other line as it is.
std::string with_function_name(const std::string& line, const std::string& program, const FunctionNames& names);

}  // namespace interlock
