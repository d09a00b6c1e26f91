#include "parallel/plan/fixed_order.h"

#include <algorithm>

namespace interlock {
namespace {

bool is_of_own_loss(const Outgoing& outgoing) {
  return outgoing.terms.size() == 1 && outgoing.terms.front().source == Term::own_loss;
}

class RankOrder {
 public:
  // split: the order has I and W, no B.
  RankOrder(const Flows& flows, bool split) : flows_(flows), split_(split) {}

  void add(const Pass& pass) {
    const StageFlow& flow = flows_.stages[pass.stage];
    const int joint = split_ || !flow.learns ? -1 : flow.joint;
    if (pass.kind == Kind::forward) {
      put(Kind::forward, pass);
      if (flow.has_loss) put(Kind::loss, pass);
      pass_on(pass, true, joint);
      return;
    }
    if (pass.kind != Kind::weight_gradient) pass_on(pass, false, joint);
    if (pass.kind == Kind::input_gradient || !flow.learns) return;
    put(joint < 0 ? Kind::weight_gradient : Kind::backward, pass, joint);
  }

  std::vector<Action> actions;

 private:
  void put(Kind kind, const Pass& pass, int stream = -1) {
    actions.push_back({kind, pass.stage, pass.microbatch, stream});
  }
  // The streams that leave the stage, of the own loss alone or all others, but for the one that B makes.
  void pass_on(const Pass& pass, bool of_own_loss, int joint) {
    const StageFlow& flow = flows_.stages[pass.stage];
    for (int stream = 0; stream < static_cast<int>(flow.outgoing.size()); ++stream) {
      if (stream != joint && is_of_own_loss(flow.outgoing[stream]) == of_own_loss)
        put(Kind::input_gradient, pass, stream);
    }
  }

  const Flows& flows_;
  const bool split_;
};

}  // namespace

std::vector<std::vector<Action>> actions_of(const Flows& flows, const std::vector<std::vector<Pass>>& ranks) {
  const bool split = std::ranges::any_of(
      ranks, [](const auto& passes) { return std::ranges::count(passes, Kind::input_gradient, &Pass::kind) > 0; });
  std::vector<std::vector<Action>> order;
  for (const std::vector<Pass>& passes : ranks) {
    RankOrder rank(flows, split);
    for (const Pass& pass : passes) rank.add(pass);
    order.push_back(std::move(rank.actions));
  }
  return order;
}

}  // namespace interlock
