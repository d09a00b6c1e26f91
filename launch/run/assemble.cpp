#include "launch/run/assemble.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "launch/run/load_weights.h"
#include "launch/settings/parts.h"
#include "models/blocks/layers.h"
#include "models/layer_loads.h"
#include "models/model.h"
#include "parallel/stage/stage.h"
#include "runtime/core/log.h"
#include "runtime/optimization/optimizer.h"
#include "runtime/storage/tensors/tensor_entry.h"
#include "runtime/storage/weights_set.h"

namespace interlock {
namespace {

// `missing`: tensors of it that the weights do not have.
void tell_fresh(const WeightsSet& weights, const std::string& what, const std::vector<std::string>& missing) {
  const std::string why = missing.empty() ? "was trained to score something else" : "has no " + missing.front();
  log_warning(message(weights.path(), " ", why, ": ", what, " starts fresh"));
}

// Heads of one place score what the data of their run has: a vocabulary, so many classes.
bool has_shapes_of(const WeightsSet& weights, const Head& head) {
  const auto fits = [&](const auto& named) {
    const TensorEntry* entry = weights.find(named.key());
    return entry == nullptr || entry->shape == named.value().sizes().vec();
  };
  return std::ranges::all_of(head.named_parameters().items(), fits) &&
         std::ranges::all_of(head.named_buffers().items(), fits);
}

// A head above the same blocks is taken over from the file; one that the file lacks, or that scored something else,
// keeps its own start values.
void load_local_head(Head& head, const WeightsSet& weights, int stage, StoredHeads heads) {
  const std::vector<std::string> missing = missing_weights(head, weights);
  const bool fits = heads == StoredHeads::required || (heads == StoredHeads::if_there && has_shapes_of(weights, head));
  if (missing.empty() && fits) {
    load_weights(head, weights);
  } else {
    tell_fresh(weights, message("the head of stage ", stage), missing);
  }
}

// Of weights that were trained for another objective there is none; of those that lack a part of it something is wrong.
void load_readout(Head& readout, const Model& model, const StageRequest& request) {
  const WeightsSet& weights = *request.weights;
  const std::vector<std::string> missing = missing_weights(readout, weights, model.tie());
  const auto own = readout.named_parameters();
  const size_t tied = model.tie() && own.contains(model.tie()->readout) ? 1 : 0;  // the table, which every file has
  const bool none = missing.size() + tied == own.size() + readout.named_buffers().size();
  // A vocabulary of another size is a mistake; another set of classes is what a trained model is taken over for.
  const bool other_classes = model.vocabulary() == 0 && missing.empty() && !has_shapes_of(weights, readout);
  if (request.heads == StoredHeads::passed_over || ((none || other_classes) && request.heads == StoredHeads::if_there))
    return tell_fresh(weights, "the readout", missing);
  load_weights(readout, weights, model.tie(), model.aliases());
}

// What a head reads through is the readout of these weights.
void load_copies(Head& head, const WeightsSet& weights, const std::optional<Tie>& tie) {
  for (const auto& [name, copy] : head.readout_copies())
    if (const TensorEntry* entry = stored_weight(name, weights, tie))
      at::Tensor(copy).copy_(tensor_view(*entry, weights.bytes(*entry), weights.path()));
}

// The tensor that it shares with the readout goes on learning there, and so here.
void freeze_body(Body& body, const std::optional<Tie>& tie) {
  for (auto& named : body.named_parameters())
    if (!tie || named.key() != tie->body) named.value().set_requires_grad(false);
}

void choose_segments(Stage::Parts& parts, const TechniqueList& techniques, const Model& model,
                     const std::vector<int>& partition, int stage) {
  const int64_t begin = std::accumulate(partition.begin(), partition.begin() + stage, int64_t{0});
  parts.layers.assign(parts.body->segments() - partition[stage], -1);
  for (int64_t unit = begin; unit < begin + partition[stage]; ++unit)
    parts.layers.push_back(model.layer_of(unit).value_or(-1));
  parts.runs = [techniques, places = places_of_layers(model, partition)](int64_t layer, const ForwardContext& context) {
    return layer_runs(techniques, places.at(layer), {context.seed, context.step, context.microbatch});
  };
}

// How deep a unit stands: a layer's number, else (of a chain whose units may not all be left out) the unit's own.
int64_t depth_of(const Model& model, int64_t unit) { return model.layer_of(unit).value_or(unit); }

// The last segments of a slice are its units, which begin with unit `begin` of the model.
void choose_rates_of(Stage::Parts& parts, const TechniqueList& techniques, const Model& model, int64_t begin,
                     int64_t units) {
  std::map<std::string, ParameterPlace> places;
  for (const auto& named : parts.body->named_parameters())
    places[named.key()] = {named.key(), true, std::nullopt, model.is_inserted(named.key())};
  const int64_t segments = parts.body->segments();
  for (int64_t segment = segments - units; segment < segments; ++segment)
    for (const at::Tensor& own : parts.body->segment_parameters(segment))
      for (const auto& named : parts.body->named_parameters())
        if (named.value().is_same(own))
          places[named.key()].layer = depth_of(model, begin + segment - (segments - units));
  // Of a tied readout the body has the other copy, at another stage: both learn alike.
  if (const auto tie = model.tie()) places.try_emplace(tie->body, ParameterPlace{tie->body, true, std::nullopt, false});
  int64_t layers = 0;
  for (int64_t unit = 0; unit < model.units(); ++unit) layers = std::max(layers, depth_of(model, unit) + 1);
  parts.rate_factor = [techniques, layers, places = std::move(places)](const std::string& name) {
    const auto found = places.find(name);
    return rate_factor(
        techniques, found != places.end() ? found->second : ParameterPlace{name, false, std::nullopt, false}, layers);
  };
}

// Start values and weights are made on the CPU, so that they have the same bits everywhere.
void move_to(at::Device device, Stage::Parts& parts) {
  parts.body->to(device);
  if (!parts.head) return;
  parts.head->to(device);
  for (auto& [name, copy] : parts.head->readout_copies()) copy.set_data(copy.to(device));  // no parameters of the head
}

}  // namespace

std::map<int64_t, LayerPlace> places_of_layers(const Model& model, const std::vector<int>& partition) {
  std::map<int64_t, LayerPlace> places;
  const int64_t all = layers_of(model);
  int64_t unit = 0;
  for (const int units : partition) {
    std::vector<int64_t> layers;  // that begin here
    for (const int64_t end = unit + units; unit < end; ++unit)
      if (const auto layer = model.layer_of(unit); layer && !places.contains(*layer)) {
        layers.push_back(*layer);
        places[*layer] = {*layer, layers.front(), 1, all};
      }
    for (const int64_t layer : layers) places[layer].count = std::ssize(layers);
  }
  return places;
}

std::unique_ptr<Stage> make_stage(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                                  const StageRequest& request) {
  const int64_t begin = std::accumulate(partition.begin(), partition.begin() + request.index, int64_t{0});
  const int64_t end = begin + partition[request.index];
  const bool last = request.index + 1 == settings.parallel.shape.stages;
  Stage::Parts parts;
  parts.body = model.body(begin, end);
  parts.head_is_readout = last;
  parts.make_optimizer = [&settings] { return make_optimizer(settings); };
  if (settings.parallel.shard_optimizer) parts.share = {request.replica, settings.parallel.shape.replicas};
  parts.recompute = settings.recompute;
  parts.tie = model.tie();
  if (last) {
    parts.head = model.readout();
  } else if (request.has_head) {
    parts.head = model.head(settings.learning.head_kind, end);
  }
  if (const WeightsSet* weights = request.weights) {
    const auto fresh =
        load_weights(*parts.body, *weights, {}, {}, [&](const std::string& name) { return model.is_inserted(name); });
    if (!fresh.empty() && request.index == 0)
      log_info(message(weights->path(), " has no ", fresh.front(), ": what techniques insert starts fresh"));
    if (last) load_readout(*parts.head, model, request);
    if (!last && parts.head) {
      load_local_head(*parts.head, *weights, request.index, request.heads);
      if (request.heads != StoredHeads::passed_over) load_copies(*parts.head, *weights, parts.tie);
    }
  }
  begin_insertions(*parts.body);
  if (!request.learns) freeze_body(*parts.body, parts.tie);
  if (choose_rates(settings.techniques)) choose_rates_of(parts, settings.techniques, model, begin, end - begin);
  if (choose_layers(settings.techniques)) choose_segments(parts, settings.techniques, model, partition, request.index);
  if (!request.device.is_cpu()) move_to(request.device, parts);
  return std::make_unique<Stage>(request.index, std::move(parts));
}

std::vector<Boundary> make_boundaries(const Model& model, const std::vector<int>& partition) {
  std::vector<Boundary> boundaries;
  int64_t below = 0;
  for (size_t stage = 0; stage + 1 < partition.size(); ++stage)
    boundaries.push_back(model.boundary(below += partition[stage]));
  return boundaries;
}

}  // namespace interlock
