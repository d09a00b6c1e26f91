#include "parallel/technique/layer_gates.h"

#include <array>
#include <cmath>
#include <vector>

#include "runtime/core/random.h"

namespace interlock {
namespace {

// Sites of Purpose::layer_gates.
enum : uint64_t { gate_site = 0, order_site = 1, offset_site = 2 };

std::array<uint32_t, 4> words_of(const Occasion& at, uint64_t layer, uint64_t site) {
  const RandomKey key = random_key(at.seed, Purpose::layer_gates, static_cast<uint64_t>(at.step), layer, site);
  return philox(key, static_cast<uint64_t>(at.microbatch), 0);
}

// Systematic sampling (Madow, 1949): the layers of a stage lie end to end, each as long as it is likely to run, in an
// order drawn anew; those in which a mark of the grid u, u + 1, ... ends run. Every layer keeps its probability, and
// as many of a stage run as are expected, rounded one way or the other: for stages that expect equally many the same
// way, since they share u.
bool survives_in_its_stage(const LayerPlace& place, const Occasion& at, const DropRate& rate) {
  const auto words = words_of(at, static_cast<uint64_t>(place.first), order_site);
  const auto count = static_cast<uint64_t>(place.count);
  std::vector<int64_t> in_order;
  for (uint64_t turn = 0; turn < count; ++turn)
    in_order.push_back(place.first + static_cast<int64_t>(permuted({words[0], words[1]}, turn, count)));
  double end = unit_interval(words_of(at, 0, offset_site)[0]);
  for (const int64_t layer : in_order) {
    const double begin = end;
    end += 1 - rate(layer);
    if (layer == place.layer) return std::floor(end) > std::floor(begin);
  }
  return true;
}

}  // namespace

bool layer_gate(GateBalance balance, const LayerPlace& place, const Occasion& at, const DropRate& rate) {
  if (balance == GateBalance::stratified) return survives_in_its_stage(place, at, rate);
  return unit_interval(words_of(at, static_cast<uint64_t>(place.layer), gate_site)[0]) > rate(place.layer);
}

GateBalance read_balance(const Section& options) {
  return options.one_of("balance", "independent", {"independent", "stratified"}) == "stratified"
             ? GateBalance::stratified
             : GateBalance::independent;
}

}  // namespace interlock
