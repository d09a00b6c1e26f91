#pragma once
// A learning rule is a matrix: weights[k][j] >= 0 is the weight of loss j in the update of stage k's body. Everything
// else - heads, losses, gradient streams, messages, passes, microbatches in flight - is derived from it here and
// nowhere else; no code below a rule asks for its name.

#include <string>
#include <vector>

namespace interlock {

using Matrix = std::vector<std::vector<double>>;

struct LearningRule {
  std::string name;         // for people: "furthest(2)", "local", "matrix"
  Matrix weights;           // stages x stages, upper triangular
  std::vector<int> frozen;  // stages that are meant to learn from nothing; ascending, each once
  int stages() const { return static_cast<int>(weights.size()); }
};

// What a config or a caller asks for. Named rules read only the field that belongs to them.
struct RuleRequest {
  std::string rule = "furthest";  // local | furthest | sum | chunked | deep_supervision | global | matrix
  int horizon = 2;                // furthest, sum
  int window = 2;                 // chunked
  double weight = 0.3;            // deep_supervision
  Matrix matrix = {};             // matrix
  std::vector<int> frozen = {};   // as a user asks for it
  // Stages whose body has nothing that trains, whatever the rule says: found in the model, not asked for. They are
  // frozen too, and what a matrix gives them is dropped.
  std::vector<int> untrained = {};
  bool all_train() const { return frozen.empty() && untrained.empty(); }
};
std::vector<std::string> rule_names();

// Builds and checks a rule. Refuses with Error(config) and a sentence: an unknown name; horizon or window out
// of 1..stages (naming the largest that makes sense); a matrix that is not stages x stages, not upper triangular, or
// has a negative or non-finite weight; a stage that learns from nothing and is not frozen, and a frozen stage out of
// range or with a weight. A frozen stage's row is cleared for named rules, an untrained one's for every rule. A stage
// below which no row is left sends nothing down: no stream leaves it. Whether a model has the heads that a rule
// needs (Flows::heads) is asked where both are known.
LearningRule make_rule(const RuleRequest& request, int stages);

// Streams. Losses whose columns are proportional in all rows below a boundary cross it as one stream, their weighted
// sum.
struct Stream {
  std::vector<int> losses;      // ascending
  std::vector<double> weights;  // weight of each loss's gradient in the stream (see normalisation in flows.cpp)
};

// One term of a weighted sum of gradients at a stage's output.
struct Term {
  int source = own_loss;  // index into the stage's incoming streams, or own_loss
  double weight = 1.0;
  static constexpr int own_loss = -1;
};

// A stream that leaves a stage downwards: the sum of `terms` at the stage's output, passed through its body.
struct Outgoing {
  Stream stream;
  std::vector<Term> terms;  // own loss first, then incoming streams ascending: the order in which they are added
};

// What one stage does for one microbatch, derived from the matrix.
struct StageFlow {
  bool has_loss =
      false;  // a loss runs on this stage's output (last stage: whenever anybody learns from it, or heads = all)
  bool own_loss_used = false;      // its gradient teaches some body (column not zero)
  bool learns = false;             // row not zero
  std::vector<Stream> incoming;    // streams over the boundary above (stage+1 -> stage); empty for the last stage
  std::vector<Outgoing> outgoing;  // streams over the boundary below (stage -> stage-1); empty for stage 0. The stream
                                   // that holds the own loss comes first (it exists first), others by their first loss.
  std::vector<Term> teach;         // what the one weight-gradient pass works on; empty when the stage learns nothing
  // Index of the outgoing stream whose sum at the output equals `teach` up to a factor, so that one walk makes both;
  // -1: none.
  int joint = -1;
  double joint_factor = 1.0;  // teach = joint_factor * outgoing[joint]
};

enum class HeadPolicy { needed, all };  // all: heads that teach nobody run too, and learn from their own loss

struct Flows {
  std::vector<StageFlow> stages;
  // Losses that teach some body, ascending, the last stage's included whenever it runs.
  std::vector<int> heads() const;
  const std::vector<Stream>& incoming(int stage) const { return stages[stage].incoming; }
  // Farthest stage whose loss comes back to or through `stage`, minus `stage`: microbatches in flight are at most this
  // + 1.
  std::vector<int> reach;
  int longest_backward_chain = 0;  // hops: max of j - k over weights[k][j] > 0
  int extra_passes()
      const;  // input-gradient-only passes per microbatch over all stages (streams handed on, joint ones not counted)
};
Flows derive_flows(const LearningRule& rule, HeadPolicy policy);

// The last stage's loss reaches stage 0: then a norm over the whole model costs no extra waiting, and clipping is per
// model.
bool couples_all_stages(const LearningRule& rule);

}  // namespace interlock
