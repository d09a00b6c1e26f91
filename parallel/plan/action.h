#pragma once
// One thing one rank does for one stage. As text: stage, kind, microbatch, and the losses of a stream: "2F3", "2I3@5",
// "2SEND_B3@4+5". (PyTorch's pipeline text uses the same stage-kind-microbatch order and the same words for messages.)

#include <cstdint>
#include <string>
#include <string_view>

#include "parallel/plan/learning_rule.h"

namespace interlock {

enum class Kind : uint8_t {
  forward,           // F   body of the stage on its input
  loss,              // L   head on the detached output: the head's own gradients and the gradient at the output
  input_gradient,    // I   pass one outgoing stream through the body: input gradient only
  weight_gradient,   // W   the weight-gradient pass, on the weighted sum of streams
  backward,          // B   both in one walk: teaches, and passes the outgoing stream on
  send_forward,      // SEND_F  output of this stage to stage + 1; may block until the receive is posted
  receive_forward,   // RECV_F  posts the receive of this stage's input; the F that uses it waits for it
  send_backward,     // SEND_B  an outgoing stream of this stage to stage - 1
  receive_backward,  // RECV_B  posts the receive of an incoming stream of this stage
  reduce_gradient,   // REDUCE_GRAD  sum of the stage's gradients over replicas
  reduce_tied,       // REDUCE_TIED  gradients of the tensor that first and last stage share meet on their ranks
  reduce_norm,       // REDUCE_NORM  squared norms of all stages of the model meet on all ranks of a replica
  update,            // U   clip, update, clear gradients
};
inline constexpr int num_kinds = 13;
std::string_view text_of(Kind kind);
inline bool is_compute(Kind kind) { return kind <= Kind::backward || kind == Kind::update; }
// Of the step, not of a microbatch.
inline bool is_closing(Kind kind) { return kind >= Kind::reduce_gradient; }
inline bool is_send(Kind kind) { return kind == Kind::send_forward || kind == Kind::send_backward; }
inline bool is_receive(Kind kind) { return kind == Kind::receive_forward || kind == Kind::receive_backward; }

struct Action {
  Kind kind = Kind::forward;
  int32_t stage = 0;
  int32_t microbatch = -1;  // -1: of the whole step (REDUCE_GRAD, REDUCE_TIED, REDUCE_NORM, U)
  // I, B, SEND_B: index into the stage's outgoing streams. RECV_B: index into its incoming streams. Others: -1.
  int32_t stream = -1;
  friend bool operator==(const Action&, const Action&) = default;
};

// "2I3@4+5"; the flows name the losses of a stream.
std::string text_of(const Action& action, const Flows& flows);
void append_text(const Action& action, const Flows& flows,
                 std::string& out);  // the same, for plans of millions of actions
// Reads one action. Error(bad_input) says what is wrong with the word.
Action parse_action(std::string_view word, const Flows& flows);

}  // namespace interlock
