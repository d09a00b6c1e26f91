// PCRE2 behind one class.

#define PCRE2_CODE_UNIT_WIDTH 8
#include "runtime/data/tokenizer/pattern.h"

#include <pcre2.h>

#include <cassert>
#include <stdexcept>

#include "runtime/core/error.h"

namespace interlock {
namespace {

// What a match needs beside the pattern; one for each thread, of use to all patterns.
struct Workplace {
  static constexpr uint32_t most_groups = 8;
  // Our patterns match in linear time without recursion: these limits only turn a mistake of ours into an error.
  static constexpr uint32_t most_steps = 1U << 30, most_heap_kib = 64 << 10;

  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_match_data* data = pcre2_match_data_create(most_groups, nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 << 10, 8 << 20, nullptr);

  Workplace() {
    if (context == nullptr || data == nullptr || stack == nullptr) throw std::bad_alloc();
    pcre2_set_match_limit(context, most_steps);
    pcre2_set_heap_limit(context, most_heap_kib);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~Workplace() {
    pcre2_jit_stack_free(stack);
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
  }
  Workplace(const Workplace&) = delete;
};

}  // namespace

Pattern::Pattern(const char* text) {
  int problem = 0;
  size_t place = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text), PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED | PCRE2_DOTALL, &problem, &place, nullptr);
  if (code == nullptr) throw std::logic_error(message("a pattern of ours does not compile, at ", place, ": ", text));
  code_ = code;
  compiled_to_machine_code_ = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
}

Pattern::~Pattern() { pcre2_code_free(static_cast<pcre2_code*>(code_)); }

Pattern::Match Pattern::at(std::string_view text, size_t at) const {
  thread_local const Workplace workplace;
  const auto* code = static_cast<const pcre2_code*>(code_);
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const int found =
      compiled_to_machine_code_
          ? pcre2_jit_match(code, subject, text.size(), at, 0, workplace.data, workplace.context)
          : pcre2_match(code, subject, text.size(), at, PCRE2_NO_UTF_CHECK, workplace.data, workplace.context);
  if (found <= 0) {
    char reason[128] = "no match";
    pcre2_get_error_message(found, reinterpret_cast<PCRE2_UCHAR*>(reason), sizeof reason);
    throw std::logic_error(message("a pattern of ours fails at byte ", at, " of ", text.size(), ": ", reason));
  }
  return {pcre2_get_ovector_pointer(workplace.data)[1], found - 1};
}

}  // namespace interlock
