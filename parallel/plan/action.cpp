// Actions as text, both ways.

#include "parallel/plan/action.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

constexpr std::array<std::string_view, num_kinds> kind_words = {
    "F", "L", "I", "W", "B", "SEND_F", "RECV_F", "SEND_B", "RECV_B", "REDUCE_GRAD", "REDUCE_TIED", "REDUCE_NORM", "U"};

bool names_stream(Kind kind) {
  return kind == Kind::input_gradient || kind == Kind::backward || kind == Kind::send_backward ||
         kind == Kind::receive_backward;
}

void append_number(int64_t number, std::string& out) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

void append_losses(const std::vector<int>& losses, std::string& out) {
  for (size_t i = 0; i < losses.size(); ++i) {
    if (i) out += '+';
    append_number(losses[i], out);
  }
}

// The stream's losses, or null for an action that no rule has.
const Stream* stream_of(const Action& action, const Flows& flows) {
  if (action.stage < 0 || action.stage >= static_cast<int>(flows.stages.size()) || action.stream < 0) return nullptr;
  const StageFlow& flow = flows.stages[action.stage];
  const size_t index = static_cast<size_t>(action.stream);
  if (action.kind == Kind::receive_backward) return index < flow.incoming.size() ? &flow.incoming[index] : nullptr;
  return index < flow.outgoing.size() ? &flow.outgoing[index].stream : nullptr;
}

std::string known_streams(const Action& action, const Flows& flows) {
  std::string known;
  Action candidate = action;
  for (candidate.stream = 0; stream_of(candidate, flows); ++candidate.stream) {
    if (candidate.stream) known += ", ";
    known += '@';
    append_losses(stream_of(candidate, flows)->losses, known);
  }
  return known;
}

class ActionParser {
 public:
  ActionParser(std::string_view word, const Flows& flows) : word_(word), flows_(flows), rest_(word) {}

  Action parse() {
    Action action;
    action.stage = number("a stage number");
    if (action.stage >= static_cast<int>(flows_.stages.size())) {
      refuse(message("there is no stage ", action.stage, ", the stages are 0 to ", flows_.stages.size() - 1));
    }
    action.kind = kind();
    if (is_closing(action.kind)) {
      if (!rest_.empty()) refuse(message(text_of(action.kind), " is of the whole step: nothing may follow it"));
      return action;
    }
    action.microbatch = number("a microbatch number");
    if (names_stream(action.kind)) {
      action.stream = stream(action);
    } else if (!rest_.empty()) {
      refuse(message("\"", rest_, "\" follows the microbatch, but ", text_of(action.kind), " takes nothing more"));
    }
    return action;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ExitCode::bad_input, message("\"", word_.substr(0, 80), "\" is not an action: ", what));
  }

  int number(const std::string& what) {
    int value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error == std::errc::result_out_of_range) refuse(message(what, " is too large"));
    if (error != std::errc() || value < 0) refuse(message("expected ", what, " at \"", rest_.substr(0, 20), "\""));
    rest_.remove_prefix(end - rest_.data());
    return value;
  }

  Kind kind() {
    size_t length = 0;
    while (length < rest_.size() && (rest_[length] == '_' || (rest_[length] >= 'A' && rest_[length] <= 'Z'))) ++length;
    const std::string_view letters = rest_.substr(0, length);
    const auto found = std::find(kind_words.begin(), kind_words.end(), letters);
    if (found == kind_words.end()) {
      refuse(unknown_name("kind", std::string(letters), {kind_words.begin(), kind_words.end()}));
    }
    rest_.remove_prefix(length);
    return static_cast<Kind>(found - kind_words.begin());
  }

  int stream(Action action) {
    if (rest_.empty() || rest_.front() != '@') {
      refuse(message(text_of(action.kind), " needs the losses of its stream, as @5 or @4+5"));
    }
    std::vector<int> losses;
    do {
      rest_.remove_prefix(1);
      losses.push_back(number("a loss number"));
    } while (!rest_.empty() && rest_.front() == '+');
    if (!rest_.empty()) refuse(message("\"", rest_.substr(0, 20), "\" follows the losses"));
    for (action.stream = 0; const Stream* known = stream_of(action, flows_); ++action.stream) {
      if (known->losses == losses) return action.stream;
    }
    const bool arrives = action.kind == Kind::receive_backward;
    const std::string known = known_streams(action, flows_);
    refuse(message("no such stream ", arrives ? "comes back to" : "leaves", " stage ", action.stage, "; ",
                   known.empty() ? "none does" : "there is " + known));
  }

  std::string_view word_;
  const Flows& flows_;
  std::string_view rest_;
};

}  // namespace

std::string_view text_of(Kind kind) { return kind_words[static_cast<size_t>(kind)]; }

void append_text(const Action& action, const Flows& flows, std::string& out) {
  append_number(action.stage, out);
  out += text_of(action.kind);
  if (is_closing(action.kind)) return;
  append_number(action.microbatch, out);
  if (!names_stream(action.kind)) return;
  out += '@';
  if (const Stream* stream = stream_of(action, flows)) {
    append_losses(stream->losses, out);
  } else {
    out += '?';  // only in messages about a plan that has a fault
  }
}

std::string text_of(const Action& action, const Flows& flows) {
  std::string text;
  append_text(action, flows, text);
  return text;
}

Action parse_action(std::string_view word, const Flows& flows) { return ActionParser(word, flows).parse(); }

}  // namespace interlock
