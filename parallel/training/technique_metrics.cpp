#include "parallel/training/technique_metrics.h"

#include <ATen/ops/stack.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "parallel/technique/measured.h"
#include "runtime/device/staging.h"

namespace interlock {
namespace {

using nlohmann::json;

// A piece of a number, as it travels.
struct Piece {
  std::string number, place;
  double part = 0, whole = 0;
};

StageTensors tensors_of(Stage& stage, bool leads) {
  StageTensors tensors;
  if (leads)
    for (const ParameterStore::Entry& entry : stage.store().entries())
      if (entry.stored) tensors.values[entry.name] = entry.value;
  for (const auto& group : stage.groups()) {
    if (!group->options().primary || !(leads || group->is_sharded())) continue;
    for (auto& [parameter, begin, value, average] : group->averages())
      tensors.averages.push_back({group->parameters()[parameter].name, begin, value, average});
  }
  return tensors;
}

// All numbers of a rank are copied from its device at once.
void add_pieces(std::vector<Piece>& pieces, const std::string& technique, const std::vector<Measured>& measured) {
  if (measured.empty()) return;
  std::vector<at::Tensor> numbers;
  for (const Measured& one : measured) numbers.insert(numbers.end(), {one.part, one.whole});
  const at::Tensor all = on_host(at::stack(numbers));
  const double* next = all.const_data_ptr<double>();
  for (const Measured& one : measured) {
    pieces.push_back({technique + "." + one.number, one.place, next[0], next[1]});
    next += 2;
  }
}

std::string text_of(const std::vector<Piece>& pieces) {
  json all = json::array();
  for (const Piece& piece : pieces) all.push_back({piece.number, piece.place, piece.part, piece.whole});
  return all.dump();
}

// JSON has no NaN: what is not finite comes as null.
double number_of(const json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

void add_text(std::vector<Piece>& pieces, const std::string& text) {
  for (const json& one : json::parse(text)) pieces.push_back({one[0], one[1], number_of(one[2]), number_of(one[3])});
}

TechniqueNumbers sum_of(std::vector<Piece> pieces) {
  std::ranges::sort(pieces, {}, [](const Piece& piece) { return std::pair(piece.number, piece.place); });
  std::map<std::string, std::pair<double, double>> sums;
  for (const Piece& piece : pieces) {
    sums[piece.number].first += piece.part;
    sums[piece.number].second += piece.whole;
  }
  TechniqueNumbers numbers;
  for (const auto& [number, sum] : sums) numbers[number] = sum.second > 0 ? std::sqrt(sum.first / sum.second) : 0;
  return numbers;
}

}  // namespace

TechniqueNumbers TechniqueMetrics::of_step(uint64_t seed, int64_t step, int64_t microbatches) const {
  TechniqueNumbers numbers;
  for (const auto& technique : techniques_)
    for (const auto& [number, value] : technique->of_step({seed, step, microbatches, layers_}))
      numbers[technique->name() + "." + number] = value;
  return numbers;
}

bool TechniqueMetrics::measures() const {
  return std::ranges::any_of(techniques_, [](const auto& technique) { return technique->measures(); });
}

TechniqueNumbers TechniqueMetrics::measure(RankContext& context) const {
  std::vector<Piece> pieces;
  for (const auto& stage : context.stages) {
    const StageTensors tensors = tensors_of(*stage, context.topology.replica() == 0);
    for (const auto& technique : techniques_)
      if (technique->measures()) add_pieces(pieces, technique->name(), technique->measure(tensors));
  }
  const std::string own = pieces.empty() ? "" : text_of(pieces);
  for (int rank = 1; rank < context.world.size(); ++rank)
    if (const std::string told = context.world.collect(own, rank, 0); !told.empty()) add_text(pieces, told);
  return context.transport.rank() == 0 ? sum_of(std::move(pieces)) : TechniqueNumbers{};
}

}  // namespace interlock
