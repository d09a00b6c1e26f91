#pragma once
// A technique: one published idea that changes how a network trains, in the words of training. It overrides the few
// hooks it needs; what it does not override stays as it is, at no cost. One technique per file in techniques/,
// registered by name; [[technique]] tables of a config name those of a run, and they act in that order.
//
// A technique is a pure function of its options and of the keys it is given: no rank, no replica, no order of execution
// is told it, so a run learns the same wherever and in whatever order it is performed.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/core/config.h"
#include "runtime/core/registry.h"

namespace interlock {

class Model;

// The pass of one microbatch through the network.
struct Occasion {
  uint64_t seed = 1;
  int64_t step = 0;
  int64_t microbatch = 0;  // of the step, over all replicas: replica * microbatches + m
};

// A layer of the network, and which layers its stage holds: [first, first + count). A layer that is cut in two belongs
// to the stage of its lower half.
struct LayerPlace {
  int64_t layer = 0, first = 0, count = 1;
};

class Technique {
 public:
  virtual ~Technique() = default;

  // ---- For people: `interlock techniques`
  virtual std::string name() const = 0;     // as [[technique]] has it
  virtual std::string summary() const = 0;  // one line
  virtual std::string paper() const = 0;    // authors, title, year
  // Options, as TOML, with which nothing changes, not one bit of a run; "" where there are none.
  virtual std::string neutral() const { return ""; }

  // ---- What it asks for
  // Whether its options fit this model: else Error(config) at the option, with what would fit.
  virtual void check(const Model&) const {}
  // Why it cannot work beside another of the run, in a sentence for people; "" where it can. Asked in both directions.
  virtual std::string conflict(const Technique&) const { return ""; }

  // ---- Structure: which layers a microbatch passes through while it trains. Evaluation always runs all.
  virtual bool chooses_layers() const { return false; }  // the hooks below are asked only then
  virtual bool runs(const LayerPlace&, const Occasion&) const { return true; }
  // How often a layer runs, 0..1, in the long run: what plans, cuts and simulations count.
  virtual double share_of_runs(int64_t /*layer*/) const { return 1; }
};

// Each is made of its own [[technique]] table: it asks for its options there, and refuses what is out of range.
using Techniques = Registry<Technique, const Section&>;

// The techniques of a run, in the order of its config.
using TechniqueList = std::vector<std::shared_ptr<const Technique>>;

// Of the [[technique]] tables. Error(config) for a table without a name, an unknown name (with the nearest), one that
// stands twice, and a pair that cannot work together (with the reason).
TechniqueList read_techniques(const Config& config);

// Whether a layer runs: where every technique that chooses layers lets it.
bool layer_runs(const TechniqueList& techniques, const LayerPlace& place, const Occasion& occasion);
// How often it runs in the long run, as plans count it.
double share_of_runs(const TechniqueList& techniques, int64_t layer);
bool choose_layers(const TechniqueList& techniques);

}  // namespace interlock
