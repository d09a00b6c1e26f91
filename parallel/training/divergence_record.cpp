#include "parallel/training/divergence_record.h"

#include <algorithm>
#include <charconv>

#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr const char *left_out_state = "divergence.left_out", *in_a_row_state = "divergence.in_a_row",
                     *rewinds_state = "divergence.rewinds";

int64_t number(const std::map<std::string, std::string>& state, const char* name) {
  int64_t value = 0;
  if (const auto found = state.find(name); found != state.end())
    std::from_chars(found->second.data(), found->second.data() + found->second.size(), value);
  return std::max<int64_t>(value, 0);
}

}  // namespace

bool DivergenceRecord::take(bool finite) {
  if (finite) {
    in_a_row_ = 0;
    return true;
  }
  if (settings_.policy == OnDivergence::rewind) return ++rewinds_ <= settings_.limit;
  ++left_out_;
  return ++in_a_row_ <= settings_.limit;
}

std::string DivergenceRecord::why() const {
  return settings_.policy == OnDivergence::rewind
             ? message("the run has gone back ", settings_.limit, " times already (run.divergence_limit)")
             : message(settings_.limit, " steps before it were left out already (run.divergence_limit)");
}

std::map<std::string, std::string> DivergenceRecord::state() const {
  std::map<std::string, std::string> state;
  for (const auto& [name, value] :
       {std::pair{left_out_state, left_out_}, {in_a_row_state, in_a_row_}, {rewinds_state, rewinds_}})
    if (value > 0) state[name] = std::to_string(value);
  return state;
}

void DivergenceRecord::restore(const std::map<std::string, std::string>& state) {
  left_out_ = number(state, left_out_state);
  in_a_row_ = number(state, in_a_row_state);
  rewinds_ = std::max(rewinds_, number(state, rewinds_state));
}

}  // namespace interlock
