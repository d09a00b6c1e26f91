// The text form of a plan:
//
//   interlock plan 1
//   stages 2
//   ranks 2
//   replicas 1
//   microbatches 1
//   placement contiguous  (or interleaved, or v, or the rank of each stage: 0 0 1 1)
//   schedule wavefront
//   heads needed
//   norm_over_model no
//   tied no
//   evaluation no
//   rule local
//   frozen 1 3            (only when there are any)
//   matrix
//   1 0
//   0 1
//   rank 0: 0F0 0SEND_F0 0L0 0W0 0U
//   rank 1: 1RECV_F0 1F0 1L0 1W0 1U
//
// '#' starts a comment. Numbers are written with as many digits as it takes to read the same double back.

#include <algorithm>
#include <charconv>
#include <optional>

#include "parallel/plan/plan.h"
#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

const std::vector<std::string> header_keys = {"stages",   "ranks",  "replicas",        "microbatches", "placement",
                                              "schedule", "heads",  "norm_over_model", "tied",         "evaluation",
                                              "rule",     "frozen", "matrix"};
constexpr std::string_view first_line = "interlock plan 1";
constexpr std::string_view blanks = " \t\r";

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

// Takes the next word off `rest`; empty at its end.
std::string_view next_word(std::string_view& rest) {
  rest = trim(rest);
  const size_t length = std::min(rest.find_first_of(blanks), rest.size());
  const std::string_view word = rest.substr(0, length);
  rest.remove_prefix(length);
  return word;
}

class PlanReader {
 public:
  PlanReader(const std::string& text, const std::string& file) : rest_(text), file_(file) {}

  Plan read() {
    if (!next_line() || line_ != first_line) refuse(message("the first line of a plan is \"", first_line, "\""));
    std::vector<std::string> seen;
    bool more = next_line();
    for (; more; more = next_line()) {
      std::string_view value = line_;
      const std::string key(next_word(value));
      if (key == "rank") break;
      if (std::find(header_keys.begin(), header_keys.end(), key) == header_keys.end()) {
        refuse(unknown_name("key", key.substr(0, 80), header_keys));
      }
      if (std::find(seen.begin(), seen.end(), key) != seen.end()) refuse(message("\"", key, "\" is given twice"));
      seen.push_back(key);
      read_header(key, trim(value), seen);
    }
    for (const std::string& key : header_keys) {
      if (key != "frozen") require(key, seen, "the ranks");
    }
    finish_header();
    for (; more; more = next_line()) read_rank();
    if (static_cast<int>(plan_.ranks.size()) != plan_.shape.ranks) {
      refuse(message("the plan ends after ", plan_.ranks.size(), " of its ", plan_.shape.ranks, " ranks"));
    }
    return std::move(plan_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ExitCode::bad_input, message(file_, ", line ", number_, ": ", what));
  }
  // What the rest of the room refuses (a shape, a rule, a word), as a fault of this line.
  template <class Work>
  auto on_this_line(Work&& work) const {
    try {
      return work();
    } catch (const Error& error) {
      refuse(error.what());
    }
  }

  // The next line that is not empty, without comment and outer blanks.
  bool next_line() {
    while (!rest_.empty()) {
      ++number_;
      const size_t end = std::min(rest_.find('\n'), rest_.size());
      line_ = rest_.substr(0, end);
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      line_ = trim(line_.substr(0, line_.find('#')));
      if (!line_.empty()) return true;
    }
    return false;
  }

  void require(const std::string& key, const std::vector<std::string>& seen, const std::string& before) const {
    if (std::find(seen.begin(), seen.end(), key) == seen.end())
      refuse(message("\"", key, "\" must come before ", before));
  }

  template <class Number>
  Number number(std::string_view word, const std::string& what) const {
    Number value{};
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) {
      refuse(message("\"", word.substr(0, 80), "\" is not ", what));
    }
    return value;
  }

  template <class Value>
  Value choice(const std::string& key, std::string_view word, const std::string& first, Value first_value,
               const std::string& second, Value second_value) const {
    if (word == first) return first_value;
    if (word == second) return second_value;
    refuse(message(key, " is \"", word.substr(0, 80), "\": it must be ", first, " or ", second));
  }

  void read_header(const std::string& key, std::string_view value, const std::vector<std::string>& seen) {
    if (key == "matrix") {
      if (!value.empty()) refuse("the rows of the matrix stand on the lines below it");
      require("stages", seen, "the matrix");
      return read_matrix();
    }
    if (value.empty()) refuse(message("\"", key, "\" has no value"));
    if (key == "stages") plan_.shape.stages = number<int>(value, "a number of stages");
    if (key == "ranks") plan_.shape.ranks = number<int>(value, "a number of ranks");
    if (key == "replicas") plan_.shape.replicas = number<int>(value, "a number of replicas");
    if (key == "microbatches") plan_.shape.microbatches = number<int>(value, "a number of microbatches");
    if (key == "placement") read_placement(value);
    if (key == "heads") plan_.heads = choice(key, value, "needed", HeadPolicy::needed, "all", HeadPolicy::all);
    if (key == "norm_over_model") plan_.norm_over_model = choice(key, value, "yes", true, "no", false);
    if (key == "tied") plan_.tied = choice(key, value, "yes", true, "no", false);
    if (key == "evaluation") plan_.evaluation = choice(key, value, "yes", true, "no", false);
    if (key == "schedule") plan_.schedule = value;
    if (key == "rule") name_ = value;
    while (key == "frozen" && !value.empty()) request_.frozen.push_back(number<int>(next_word(value), "a stage"));
  }

  // A name or a list; what it places is known at the end of the header.
  void read_placement(std::string_view value) {
    const bool list = value.find_first_not_of("-0123456789 \t") == std::string_view::npos;
    while (list && !value.empty()) rank_of_stage_.push_back(number<int>(next_word(value), "a rank"));
    if (list) return;
    const std::vector<std::string> known = Placement::names();
    placement_ = value.substr(0, 80);
    if (std::find(known.begin(), known.end(), placement_) == known.end())
      refuse(unknown_name("placement", placement_, known) + "; or the rank of each stage, as 0 0 1 1");
  }

  // Grows with the text, so that a huge number of stages costs nothing.
  void read_matrix() {
    if (plan_.shape.stages < 1) refuse(message("stages is ", plan_.shape.stages, ": there must be at least 1"));
    for (int stage = 0; stage < plan_.shape.stages; ++stage) {
      if (!next_line()) refuse(message("the matrix ends after ", stage, " of its ", plan_.shape.stages, " rows"));
      std::vector<double> row;
      std::string_view rest = line_;
      for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest)) {
        row.push_back(number<double>(word, "a weight"));
      }
      if (static_cast<int>(row.size()) != plan_.shape.stages) {
        refuse(message("row ", stage, " of the matrix has ", row.size(), " numbers instead of ", plan_.shape.stages));
      }
      request_.matrix.push_back(std::move(row));
    }
  }

  void finish_header() {
    request_.rule = "matrix";
    on_this_line([&] {
      PlanShape& shape = plan_.shape;
      shape.placement = placement_.empty() ? Placement::by_hand(std::move(rank_of_stage_))
                                           : Placement::named(placement_, shape.stages, shape.ranks);
      shape.check();
      plan_.rule = make_rule(request_, plan_.shape.stages);
    });
    plan_.rule.name = name_;
    plan_.flows = derive_flows(plan_.rule, plan_.heads);
  }

  void read_rank() {
    std::string_view rest = line_;
    const std::string_view word = next_word(rest);
    if (word != "rank")
      refuse(message("expected \"rank ", plan_.ranks.size(), ": ...\", found \"", word.substr(0, 80), "\""));
    rest = trim(rest);
    const size_t colon = rest.find(':');
    if (colon == std::string_view::npos) refuse("a colon must follow the number of the rank");
    const int rank = number<int>(trim(rest.substr(0, colon)), "a rank");
    if (rank < 0 || static_cast<size_t>(rank) != plan_.ranks.size() || rank >= plan_.shape.ranks) {
      refuse(message("found rank ", rank, ", but the ranks are 0 to ", plan_.shape.ranks - 1,
                     ", in this order, each once"));
    }
    rest.remove_prefix(colon + 1);
    std::vector<Action>& actions = plan_.ranks.emplace_back();
    for (std::string_view next = next_word(rest); !next.empty(); next = next_word(rest)) {
      actions.push_back(on_this_line([&] { return parse_action(next, plan_.flows); }));
    }
  }

  std::string_view rest_;
  const std::string& file_;
  std::string_view line_;
  int64_t number_ = 0;
  Plan plan_;
  RuleRequest request_;
  std::string name_, placement_;    // the placement's name; "": by hand
  std::vector<int> rank_of_stage_;  // by hand
};

void append_matrix(const Matrix& weights, std::string& out) {
  char digits[32];
  for (const std::vector<double>& row : weights) {
    for (size_t loss = 0; loss < row.size(); ++loss) {
      if (loss) out += ' ';
      out.append(digits, std::to_chars(digits, digits + sizeof digits, row[loss]).ptr);
    }
    out += '\n';
  }
}

}  // namespace

std::string print_plan(const Plan& plan) {
  const PlanShape& shape = plan.shape;
  std::string out =
      message(first_line, "\nstages ", shape.stages, "\nranks ", shape.ranks, "\nreplicas ", shape.replicas,
              "\nmicrobatches ", shape.microbatches, "\nplacement ", shape.placement.text(), "\nschedule ",
              plan.schedule, "\nheads ", plan.heads == HeadPolicy::needed ? "needed" : "all", "\nnorm_over_model ",
              plan.norm_over_model ? "yes" : "no", "\ntied ", plan.tied ? "yes" : "no", "\nevaluation ",
              plan.evaluation ? "yes" : "no", "\nrule ", plan.rule.name, "\n");
  if (!plan.rule.frozen.empty()) out += "frozen";
  for (int stage : plan.rule.frozen) out += message(" ", stage);
  if (!plan.rule.frozen.empty()) out += '\n';
  out += "matrix\n";
  append_matrix(plan.rule.weights, out);
  for (size_t rank = 0; rank < plan.ranks.size(); ++rank) {
    out += message("rank ", rank, ":");
    for (const Action& action : plan.ranks[rank]) {
      out += ' ';
      append_text(action, plan.flows, out);
    }
    out += '\n';
  }
  return out;
}

Plan parse_plan(const std::string& text, const std::string& file) { return PlanReader(text, file).read(); }

}  // namespace interlock
