// Derives from the matrix what crosses each boundary and what each stage does.
//
// Loss j crosses boundary k (stage k -> k-1) when some stage below k learns from it. Losses whose columns are
// proportional over the rows below k are wanted by all those stages in one fixed ratio, so they cross as one stream,
// their weighted sum. Normalisation: in the stream over boundary k, loss j has the weight A[p][j], p the largest row
// below k where it is not zero. So the nearest learning stage below takes the stream as it is, and one walk through a
// stage's body can often both teach it and pass the stream on. Below p the stream is scaled on its way: by A[p'][j] /
// A[p][j], equal for all its losses.

#include <algorithm>
#include <cmath>

#include "parallel/plan/learning_rule.h"

namespace interlock {
namespace {

// Proportional up to rounding of the weights a person wrote (0.1 and 0.3 against 0.2 and 0.6), far below any real
// weight.
constexpr double relative_tolerance = 1e-12;

bool nearly_equal(double a, double b) {
  return std::abs(a - b) <= relative_tolerance * std::max(std::abs(a), std::abs(b));
}

// The streams over one boundary, and the stream that carries each loss (-1: none).
struct BoundaryStreams {
  std::vector<Stream> streams;
  std::vector<int> stream_of;
};

// Refines the streams of boundary k-1 by row k-1: losses stay together while they keep their ratio. Refining, instead
// of comparing afresh, keeps the streams of a boundary nested in those below it whatever the rounding does.
class Boundaries {
 public:
  explicit Boundaries(const Matrix& weights) : weights_(weights), stages_(static_cast<int>(weights.size())) {
    first_row_.assign(stages_, -1);
    pivot_.assign(stages_, -1);
    all_.resize(stages_);
    for (BoundaryStreams& boundary : all_) boundary.stream_of.assign(stages_, -1);
    for (int k = 1; k < stages_; ++k) add_boundary(k);
  }
  const BoundaryStreams& at(int k) const { return all_[k]; }

 private:
  // The weight that row `row` gives to `loss`, relative to the first row that wants it.
  double relative(int row, int loss) const { return weights_[row][loss] / weights_[first_row_[loss]][loss]; }

  void add_boundary(int k) {
    BoundaryStreams& boundary = all_[k];
    const std::vector<int>& below = all_[k - 1].stream_of;
    // split[s]: the new streams that came out of stream s below; the last entry collects losses wanted by row k-1 only.
    std::vector<std::vector<int>> split(all_[k - 1].streams.size() + 1);
    for (int loss = k; loss < stages_; ++loss) {
      const double weight = weights_[k - 1][loss];
      if (weight > 0) {
        pivot_[loss] = k - 1;
        if (first_row_[loss] < 0) first_row_[loss] = k - 1;
      }
      if (first_row_[loss] < 0) continue;
      std::vector<int>& siblings = split[below[loss] < 0 ? split.size() - 1 : static_cast<size_t>(below[loss])];
      const auto same = std::find_if(siblings.begin(), siblings.end(), [&](int stream) {
        return nearly_equal(relative(k - 1, boundary.streams[stream].losses.front()), relative(k - 1, loss));
      });
      const int stream = same != siblings.end() ? *same : static_cast<int>(boundary.streams.size());
      if (same == siblings.end()) {
        siblings.push_back(stream);
        boundary.streams.emplace_back();
      }
      boundary.stream_of[loss] = stream;
      boundary.streams[stream].losses.push_back(loss);
      boundary.streams[stream].weights.push_back(weights_[pivot_[loss]][loss]);
    }
  }

  const Matrix& weights_;
  int stages_;
  std::vector<int> first_row_, pivot_;  // per loss: first and last row so far that wants it
  std::vector<BoundaryStreams> all_;
};

std::vector<Term> terms_of_outgoing(int stage, int stream, const BoundaryStreams& below, const BoundaryStreams* above) {
  const Stream& out = below.streams[stream];
  std::vector<Term> terms;
  if (out.losses.front() == stage) terms.push_back({Term::own_loss, out.weights.front()});
  for (size_t source = 0; above && source < above->streams.size(); ++source) {
    const Stream& in = above->streams[source];
    const int loss = in.losses.front();
    if (below.stream_of[loss] != stream) continue;
    const size_t place = std::lower_bound(out.losses.begin(), out.losses.end(), loss) - out.losses.begin();
    terms.push_back({static_cast<int>(source), out.weights[place] / in.weights.front()});
  }
  return terms;
}

std::vector<Term> terms_of_teaching(int stage, const std::vector<double>& row, const BoundaryStreams* above) {
  std::vector<Term> terms;
  if (row[stage] > 0) terms.push_back({Term::own_loss, row[stage]});
  for (size_t source = 0; above && source < above->streams.size(); ++source) {
    const Stream& in = above->streams[source];
    const double weight = row[in.losses.front()];
    if (weight > 0) terms.push_back({static_cast<int>(source), weight / in.weights.front()});
  }
  return terms;
}

bool proportional(const std::vector<Term>& one, const std::vector<Term>& other) {
  if (one.empty() || one.size() != other.size()) return false;
  const double factor = one.front().weight / other.front().weight;
  for (size_t i = 0; i < one.size(); ++i) {
    if (one[i].source != other[i].source || !nearly_equal(one[i].weight, factor * other[i].weight)) return false;
  }
  return true;
}

void find_joint_backward(StageFlow& flow) {
  for (size_t stream = 0; stream < flow.outgoing.size(); ++stream) {
    if (!proportional(flow.teach, flow.outgoing[stream].terms)) continue;
    flow.joint = static_cast<int>(stream);
    flow.joint_factor = flow.teach.front().weight / flow.outgoing[stream].terms.front().weight;
    return;
  }
}

bool teaches_somebody(const Matrix& weights, int loss) {
  return std::any_of(weights.begin(), weights.end(), [&](const std::vector<double>& row) { return row[loss] > 0; });
}

}  // namespace

Flows derive_flows(const LearningRule& rule, HeadPolicy policy) {
  const int stages = rule.stages();
  const Boundaries boundaries(rule.weights);
  Flows flows;
  flows.stages.resize(stages);
  flows.reach.assign(stages, 0);
  for (int stage = 0; stage < stages; ++stage) {
    StageFlow& flow = flows.stages[stage];
    const BoundaryStreams* above = stage + 1 < stages ? &boundaries.at(stage + 1) : nullptr;
    if (above) flow.incoming = above->streams;
    flow.own_loss_used = teaches_somebody(rule.weights, stage);
    // The last loss is what a run reports, and its readout learns from it, whoever else does.
    flow.has_loss = flow.own_loss_used || policy == HeadPolicy::all || stage == stages - 1;
    flow.teach = terms_of_teaching(stage, rule.weights[stage], above);
    flow.learns = !flow.teach.empty();
    const BoundaryStreams* below = stage > 0 ? &boundaries.at(stage) : nullptr;
    for (size_t stream = 0; below && stream < below->streams.size(); ++stream) {
      flow.outgoing.push_back(
          {below->streams[stream], terms_of_outgoing(stage, static_cast<int>(stream), *below, above)});
    }
    find_joint_backward(flow);
    for (const Stream& in : flow.incoming) flows.reach[stage] = std::max(flows.reach[stage], in.losses.back() - stage);
    for (int loss = stage; loss < stages; ++loss) {
      if (rule.weights[stage][loss] > 0) {
        flows.longest_backward_chain = std::max(flows.longest_backward_chain, loss - stage);
      }
    }
  }
  return flows;
}

std::vector<int> Flows::heads() const {
  std::vector<int> heads;
  for (size_t stage = 0; stage < stages.size(); ++stage) {
    const bool last = stage + 1 == stages.size();
    if (stages[stage].own_loss_used || (last && stages[stage].has_loss)) heads.push_back(static_cast<int>(stage));
  }
  return heads;
}

int Flows::extra_passes() const {
  int passes = 0;
  for (const StageFlow& flow : stages) passes += static_cast<int>(flow.outgoing.size()) - (flow.joint >= 0 ? 1 : 0);
  return passes;
}

bool couples_all_stages(const LearningRule& rule) { return rule.weights.front().back() > 0; }

}  // namespace interlock
