#include "launch/stored_model/exits.h"

#include <ATen/core/grad_mode.h>

#include <charconv>
#include <map>
#include <set>

#include "launch/run/load_weights.h"
#include "launch/stored_model/pruning.h"

namespace interlock {
namespace {

// How many blocks stand below the heads that are stored.
std::set<int64_t> places_of_heads(const WeightsSet& weights) {
  const std::string before = "heads.";
  std::set<int64_t> places;
  for (const TensorEntry& tensor : weights.tensors()) {
    if (!tensor.name.starts_with(before)) continue;
    int64_t place = 0;
    const char *begin = tensor.name.data() + before.size(), *end = tensor.name.data() + tensor.name.size();
    const auto [stopped, failure] = std::from_chars(begin, end, place);
    if (failure == std::errc() && stopped != end && *stopped == '.') places.insert(place);
  }
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
