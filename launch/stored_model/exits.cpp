#include "launch/stored_model/exits.h"

#include <ATen/core/grad_mode.h>

#include <charconv>
#include <map>
#include <optional>
#include <set>

#include "launch/run/load_weights.h"
#include "launch/stored_model/pruning.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

const std::string before = "heads.";

// Of heads.3.* "3", of heads.3_attention.* "3_attention".
std::set<std::string> stored_heads(const WeightsSet& weights) {
  std::set<std::string> heads;
  for (const TensorEntry& tensor : weights.tensors())
    if (tensor.name.starts_with(before))
      heads.insert(tensor.name.substr(before.size(), tensor.name.find('.', before.size()) - before.size()));
  return heads;
}

// How many blocks stand below a head; none where it lies inside of one.
std::optional<int64_t> blocks_below(const std::string& head) {
  int64_t blocks = 0;
  const char* end = head.data() + head.size();
  const auto [stopped, failure] = std::from_chars(head.data(), end, blocks);
  return failure == std::errc() && stopped == end ? std::optional(blocks) : std::nullopt;
}

std::set<int64_t> places_of_heads(const WeightsSet& weights) {
  std::set<int64_t> places;
  for (const std::string& head : stored_heads(weights))
    if (const auto blocks = blocks_below(head)) places.insert(*blocks);
  return places;
}

// A head that reads through copies of the readout gets its values.
void fill_copies(Head& head, const Head& readout) {
  const at::NoGradGuard no_graph;
  std::map<std::string, at::Tensor> values;
  for (const auto& named : readout.named_parameters()) values[named.key()] = named.value();
  for (auto& [name, copy] : head.readout_copies()) copy.copy_(values.at(name));
}

}  // namespace

std::string passed_over(const WeightsSet& weights) {
  std::vector<std::string> inside;
  for (const std::string& head : stored_heads(weights))
    if (!blocks_below(head)) inside.push_back(before + head);
  if (inside.empty()) return "";
  return join(inside) + (inside.size() == 1 ? " lies" : " lie") +
         " inside of blocks, where only the run itself tells a loss (validation_losses in metrics.jsonl)";
}

std::vector<Exit> load_exits(const TextModel& source, const LoadedModel& whole) {
  std::vector<Exit> exits;
  const std::string& kind = source.settings.learning.head_kind;
  for (const int64_t layers : places_of_heads(*source.weights)) {
    if (layers < 1 || layers >= whole.layers) continue;
    if (kind == "reconstruction")
      throw Error(ExitCode::config, message(source.weights->path(), ": its heads reconstruct what their stage was ",
                                            "given and predict nothing, so there is no exit but the last"));
    const std::shared_ptr<Head> head = source.model->head(kind, layers);
    load_weights(*head, *source.weights);
    fill_copies(*head, *whole.readout);
    LoadedModel model = with_layers(whole, without_the_last(layers));
    model.readout = head;
    exits.push_back({layers, std::move(model)});
  }
  exits.push_back({whole.layers, whole});
  return exits;
}

}  // namespace interlock
