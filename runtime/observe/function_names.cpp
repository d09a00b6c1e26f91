#include "runtime/observe/function_names.h"

#include <cxxabi.h>
#include <elf.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "runtime/core/error.h"
#include "runtime/storage/mapped_file.h"

namespace interlock {
namespace {

using Bytes = std::span<const std::byte>;

// `count` records at `offset`; none where they do not lie in the file.
template <typename Record>
std::vector<Record> records(Bytes file, uint64_t offset, uint64_t count) {
  if (offset > file.size() || count > (file.size() - offset) / sizeof(Record)) return {};
  std::vector<Record> read(count);
  if (count > 0) std::memcpy(read.data(), file.data() + offset, count * sizeof(Record));
  return read;
}

Bytes content_of(Bytes file, const Elf64_Shdr& section) {
  if (section.sh_offset > file.size() || section.sh_size > file.size() - section.sh_offset) return {};
  return file.subspan(section.sh_offset, section.sh_size);
}

std::string text_at(Bytes texts, size_t offset) {
  if (offset >= texts.size()) return "";
  const char* begin = reinterpret_cast<const char*>(texts.data()) + offset;
  return {begin, strnlen(begin, texts.size() - offset)};
}

// Parameters, and the "(anonymous namespace)::" that most of our functions live in, take a line without saying more.
std::string without_parentheses(std::string_view name) {
  constexpr std::string_view unnamed = "(anonymous namespace)::", call = "operator()";
  std::string kept;
  int depth = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    if (depth == 0 && name.substr(i).starts_with(unnamed)) {
      i += unnamed.size() - 1;
      continue;
    }
    if (depth == 0 && name.substr(i).starts_with(call)) {
      kept += call;
      i += call.size() - 1;
      continue;
    }
    depth += name[i] == '(';
    if (depth == 0) kept += name[i];
    depth -= name[i] == ')';
  }
  while (kept.ends_with(" const")) kept.resize(kept.size() - std::string_view(" const").size());
  return kept;
}

std::string demangled(const std::string& symbol) {
  int problem = 0;
  const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &problem),
                                                    std::free);
  return problem == 0 ? without_parentheses(name.get()) : symbol;
}

}  // namespace

FunctionNames::FunctionNames(const std::string& path) {
  std::optional<MappedFile> mapped;
  try {
    mapped.emplace(path);
  } catch (const Error&) {
    return;
  }
  const Bytes file = mapped->bytes();
  const auto headers = records<Elf64_Ehdr>(file, 0, 1);
  if (headers.empty() || std::memcmp(headers[0].e_ident, ELFMAG, SELFMAG) != 0 ||
      headers[0].e_ident[EI_CLASS] != ELFCLASS64 || headers[0].e_shentsize != sizeof(Elf64_Shdr))
    return;
  const auto sections = records<Elf64_Shdr>(file, headers[0].e_shoff, headers[0].e_shnum);
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
    const Bytes texts = content_of(file, sections[section.sh_link]);
    for (const auto& symbol : records<Elf64_Sym>(file, section.sh_offset, section.sh_size / sizeof(Elf64_Sym)))
      if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_value != 0 && symbol.st_size > 0)
        functions_.push_back({symbol.st_value, symbol.st_value + symbol.st_size, text_at(texts, symbol.st_name)});
  }
  std::ranges::sort(functions_, {}, &Function::begin);
}

std::optional<std::string> FunctionNames::at(uint64_t offset) const {
  const auto after = std::ranges::upper_bound(functions_, offset, {}, &Function::begin);
  if (after == functions_.begin() || std::prev(after)->end <= offset) return std::nullopt;
  return demangled(std::prev(after)->symbol);
}

std::string with_function_name(const std::string& line, const std::string& program, const FunctionNames& names) {
  const std::string before = program + "(+0x";
  if (program.empty() || !line.starts_with(before)) return line;
  uint64_t offset = 0;
  const char* end = line.data() + line.size();
  const auto read = std::from_chars(line.data() + before.size(), end, offset, 16);
  if (read.ec != std::errc() || read.ptr == end || *read.ptr != ')') return line;
  // It is where the call returns to, which may be the next function's first byte.
  const std::optional<std::string> name = names.at(offset - 1);
  if (!name) return line;
  return program.substr(program.rfind('/') + 1) + "(" + *name + ")" + std::string(read.ptr + 1, end);
}

}  // namespace interlock
