#pragma once
// A technique: one published idea that changes how a network trains, in the words of training. It overrides the few
// hooks it needs; what it does not override stays as it is, at no cost. One technique per file in techniques/,
// registered by name; [[technique]] tables of a config name those of a run, and they act in that order.
//
// A technique is a pure function of its options and of the keys it is given: no rank, no replica, no order of execution
// is told it, so a run learns the same wherever and in whatever order it is performed.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/core/config.h"
#include "runtime/core/registry.h"

namespace interlock {

class Insertion;
class Model;
class Optimizer;
struct InsertionSite;
struct Measured;  // parallel/technique/measured.h
struct ParameterPlace;
struct StageTensors;  // parallel/technique/measured.h
enum class Precision;

// The pass of one microbatch through the network.
struct Occasion {
  uint64_t seed = 1;
  int64_t step = 0;
  int64_t microbatch = 0;  // of the step, over all replicas: replica * microbatches + m
};

// A layer of the network, which layers its stage holds: [first, first + count), and how many the network has. A layer
// that is cut in two belongs to the stage of its lower half.
struct LayerPlace {
  int64_t layer = 0, first = 0, count = 1, layers = 1;
};

// What a step passes through: `layers` are those that may be left out, ascending; microbatches those of all replicas.
struct StepPasses {
  uint64_t seed = 1;
  int64_t step = 0, microbatches = 1;
  const std::vector<LayerPlace>& layers;
};

// What an insertion is made for beside its site.
struct NetworkFacts {
  Precision precision;
  int64_t layers = 0;  // of the network
};

// Numbers for people, by name.
using TechniqueNumbers = std::map<std::string, double>;

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
  // Keys of a config that it cannot do without, as overrides: for `interlock techniques`, and for whoever tries it.
  virtual std::vector<std::string> needs() const { return {}; }
  // Patterns of its option `names`, each of which must fit a parameter of the network, inserted ones too.
  virtual std::vector<std::string> names() const { return {}; }
  // Why it cannot work beside another of the run, in a sentence for people; "" where it can. Asked in both directions.
  virtual std::string conflict(const Technique&) const { return ""; }

  // ---- Structure: which layers a microbatch passes through while it trains. Evaluation always runs all.
  virtual bool chooses_layers() const { return false; }  // the hooks below are asked only then
  virtual bool runs(const LayerPlace&, const Occasion&) const { return true; }
  // How often one of `layers` layers runs, 0..1, in the long run: what plans, cuts and simulations count.
  virtual double share_of_runs(int64_t /*layer*/, int64_t /*layers*/) const { return 1; }

  // ---- Insertion: what stands at a site of the network (models/insertion.h), made anew for every slice; null:
  // nothing.
  virtual std::shared_ptr<Insertion> insertion(const InsertionSite&, const NetworkFacts&) const { return nullptr; }

  // ---- What trains
  virtual bool chooses_what_trains() const { return false; }  // the hooks below are asked only then
  // nullopt: it has no say. The last technique of the config that has one decides; model.frozen freezes whatever they
  // say.
  virtual std::optional<bool> trains(const ParameterPlace&) const { return std::nullopt; }
  // Whether checkpoints leave out what does not train and lies in the weights that the run started from
  // (run.weights), which they name by digest.
  virtual bool keeps_only_what_trains() const { return false; }

  // ---- Updates
  // The factor of a parameter's learning rate, in a model of so many layers.
  virtual bool chooses_rates() const { return false; }  // the hook below is asked only then
  virtual double rate_factor(const ParameterPlace&, int64_t /*layers*/) const { return 1; }
  // What updates, around what would have: with state of its own, which checkpoints hold.
  virtual std::unique_ptr<Optimizer> around(std::unique_ptr<Optimizer> optimizer) const;

  // ---- Report: numbers of its own, alike wherever a run is performed; people see them as name().NUMBER
  // Of every step: a pure function, asked on one rank. A run tells their mean over its steps.
  virtual TechniqueNumbers of_step(const StepPasses&) const { return {}; }
  // Of what training has made of the network, at evaluations and after the last step. `measure` is asked only then, on
  // every rank, of each of its stages.
  virtual bool measures() const { return false; }
  virtual std::vector<Measured> measure(const StageTensors&) const;
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
double share_of_runs(const TechniqueList& techniques, int64_t layer, int64_t layers);
// Of a step, the share of its layers that this technique lets run: of all microbatches and of those that it may leave
// out. 1 where it may leave out none.
double share_that_runs(const Technique& technique, const StepPasses& passes);
bool choose_layers(const TechniqueList& techniques);
// What all of them insert at a site, in their order.
std::vector<std::shared_ptr<Insertion>> insertions_at(const TechniqueList& techniques, const InsertionSite& site,
                                                      const NetworkFacts& network);
// Whether a parameter trains, as far as techniques have a say.
bool choose_what_trains(const TechniqueList& techniques);
bool parameter_trains(const TechniqueList& techniques, const ParameterPlace& place);
// The product of all factors; 1 where nobody chooses.
double rate_factor(const TechniqueList& techniques, const ParameterPlace& place, int64_t layers);
bool choose_rates(const TechniqueList& techniques);
bool keep_only_what_trains(const TechniqueList& techniques);

}  // namespace interlock
