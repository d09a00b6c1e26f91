#include "tests/support/reference.h"

#include <ATen/ops/sqrt.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <string_view>

#include "launch/settings/parts.h"
#include "launch/settings/plans.h"
#include "models/blocks/layers.h"
#include "models/layer_loads.h"
#include "models/model.h"

namespace interlock {
namespace {

// * is any letters, ? one; those of a shell's patterns that the tests use.
bool fits(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) return name.empty();
  if (pattern[0] == '*') return fits(pattern.substr(1), name) || (!name.empty() && fits(pattern, name.substr(1)));
  return !name.empty() && (pattern[0] == '?' || pattern[0] == name[0]) && fits(pattern.substr(1), name.substr(1));
}

struct Part {  // a body, a head or the tied table, with its gradients and moments
  std::shared_ptr<torch::nn::Module> module;
  std::vector<at::Tensor> values{};  // what learns in it, without the table and its twin
  std::vector<at::Tensor> gradients{}, first{}, second{};
  bool trained = true;
  int64_t updates = 0;

  void add(const std::vector<at::Tensor>& more) {
    for (size_t i = 0; i < more.size(); ++i) {
      if (gradients.size() <= i) gradients.push_back(at::zeros_like(more[i]));
      gradients[i] += more[i];
    }
  }
  double squared_norm() const {
    double sum = 0;
    for (const at::Tensor& g : gradients) sum += (g.to(at::kDouble) * g.to(at::kDouble)).sum().item<double>();
    return sum;
  }
};

double rate_at(const Section& optimizer, int64_t step, int64_t steps) {
  const double peak = optimizer.number("learning_rate", 1e-3);
  const int64_t warmup = optimizer.integer("warmup_steps", 10);
  if (step <= warmup) return peak * static_cast<double>(step) / static_cast<double>(warmup);
  if (optimizer.text("decay", "linear") == "constant") return peak;
  return peak * static_cast<double>(steps - step + 1) / static_cast<double>(steps - warmup);
}

void update(Part& part, const Section& optimizer, double rate, double clip_norm, double clip) {
  c10::NoGradGuard no_graph;
  const int64_t step = ++part.updates;
  const bool adam = optimizer.text("name", "adamw") == "adamw";
  const double decay = optimizer.number("weight_decay", 0.01);
  const std::vector<at::Tensor>& values = part.values;
  for (size_t i = 0; i < values.size(); ++i) {
    at::Tensor g = part.gradients[i];
    if (clip > 0 && clip_norm > clip) g = g * (clip / (clip_norm + 1e-6));
    at::Tensor value = values[i];
    const double own_decay = value.dim() >= 2 ? decay : 0.0;  // none on biases and norms
    if (part.first.size() <= i) {
      part.first.push_back(at::zeros_like(value));
      part.second.push_back(at::zeros_like(value));
    }
    at::Tensor &m = part.first[i], &v = part.second[i];
    if (adam) {
      const double b1 = optimizer.number("beta1", 0.9), b2 = optimizer.number("beta2", 0.999),
                   e = optimizer.number("epsilon", 1e-8);
      m = m * b1 + g * (1 - b1);
      v = v * b2 + g * g * (1 - b2);
      value -= rate * own_decay * value;
      value -= rate * (m / (1 - std::pow(b1, step))) / (at::sqrt(v / (1 - std::pow(b2, step))) + e);
    } else {
      const double momentum = optimizer.number("momentum", 0.0);
      g = g + own_decay * value;
      m = step == 1 ? g.clone() : m * momentum + g;
      value -= rate * m;
    }
  }
  part.gradients.clear();
}

}  // namespace

// Puts the values of a module that train into the part, and gives back the one of this name, which learns elsewhere.
at::Tensor take_values(Part& part, const std::string& tied, const std::function<bool(const std::string&)>& frozen) {
  at::Tensor apart;
  for (const auto& named : part.module->named_parameters()) {
    if (frozen(named.key()))
      named.value().set_requires_grad(false);
    else if (named.key() == tied)
      apart = named.value();
    else
      part.values.push_back(named.value());
  }
  return apart;
}

// d(objective) / d(part's values), and with `tied` also that of the tied tensor, which is returned.
at::Tensor add_gradients(Part& part, const at::Tensor& objective, const at::Tensor& tied) {
  std::vector<at::Tensor> inputs = part.values;
  if (tied.defined()) inputs.push_back(tied);
  if (inputs.empty()) return {};
  std::vector<at::Tensor> found = torch::autograd::grad({objective}, inputs, {}, true, false, true);
  for (size_t i = 0; i < found.size(); ++i)  // of a layer that was left out
    if (!found[i].defined()) found[i] = at::zeros_like(inputs[i]);
  at::Tensor apart;
  if (tied.defined()) {
    apart = found.back();
    found.pop_back();
  }
  part.add(found);
  return apart;
}

// Units from `begin` on, without the layers that a technique leaves out of this microbatch. `features`: what the first
// of them takes in.
at::Tensor run_body(Body& body, const Model& model, int64_t begin, int64_t units, const TechniqueList& techniques,
                    const at::Tensor& input, const ForwardContext& context, at::Tensor& features) {
  at::Tensor x = input;
  for (int64_t segment = 0; segment < body.segments(); ++segment) {
    if (segment == body.segments_before_units()) features = x.detach();
    const int64_t unit = begin + segment - (body.segments() - units);
    const std::optional<int64_t> layer = unit < begin ? std::nullopt : model.layer_of(unit);
    if (layer && !layer_runs(techniques, {*layer, *layer, 1, layers_of(model)},
                             {context.seed, context.step, context.microbatch}))
      continue;
    x = body.forward_segment(segment, x, context);
  }
  return x;
}

// Of a body with adapters train they and the norms of all layers, of one with low-rank updates these alone.
bool frozen_by_technique(const RunSettings& settings, const std::string& name) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string::npos; };
  // The norm behind the last block of a pre-norm network is of the readout.
  const auto begins = [&](std::string_view with) { return name.starts_with(with); };
  const bool of_body = begins("roberta.") || begins("roberta_prelayernorm.encoder.") ||
                       begins("roberta_prelayernorm.embeddings.") || begins("transformer.h.") ||
                       begins("transformer.w");
  if (!of_body) return false;
  for (const auto& technique : settings.techniques) {
    if (technique->name() == "adapters" && !has(".adapters.") && !(has(".layer.") && has("LayerNorm"))) return true;
    if (technique->name() == "lora" && !has(".lora_")) return true;
  }
  return false;
}

ReferenceResult train_reference(const RunSettings& settings) {
  const auto dataset = make_dataset(settings);
  dataset->open();
  const auto model = make_model(settings, *dataset);
  // The modules are those of the model without model.frozen; what that means is said here.
  const Section model_keys = settings.config.section("model");
  const std::shared_ptr<Model> plain = equipped(
      settings,
      Models::instance().create("model", settings.model_name,
                                ModelSettings{model_keys, settings.seed, dataset->classes(), dataset->features(),
                                              dataset->sample_length(), settings.precision, dataset->predicted_share(),
                                              settings.parallel.unit, dataset->objective(), dataset->image()}));
  const std::vector<std::string> patterns = model_keys.texts("frozen", {});
  const Tie tie = plain->tie().value_or(Tie{});
  const auto frozen = [&](const std::string& name) {
    const std::string& counted = !tie.readout.empty() && name == tie.readout ? tie.body : name;
    if (frozen_by_technique(settings, counted)) return true;
    return std::ranges::any_of(patterns, [&](const std::string& pattern) { return fits(pattern, counted); });
  };
  const std::vector<int> cut = make_partition(settings, *model);
  const int stages = settings.parallel.shape.stages;
  const bool all_heads = settings.learning.heads == HeadPolicy::all;

  std::vector<Part> bodies, heads;
  for (int k = 0, begin = 0; k < stages; begin += cut[k++]) {
    bodies.push_back({plain->body(begin, begin + cut[k])});
    begin_insertions(*bodies.back().module);
    heads.push_back({k + 1 == stages ? plain->readout() : plain->head(settings.learning.head_kind, begin + cut[k])});
  }
  at::Tensor table, twin;  // of the embeddings, and of the readout
  for (Part& part : bodies)
    if (const at::Tensor found = take_values(part, tie.body, frozen); found.defined()) table = found;
  for (Part& part : heads)
    if (const at::Tensor found = take_values(part, tie.readout, frozen); found.defined()) twin = found;
  Part shared{nullptr, {}};
  if (table.defined()) shared.values = {table};
  std::vector<at::Tensor> next_readout;   // copies of the readout's parameters, by refresh
  std::vector<bool> ever(stages, false);  // heads that were trained at some step
  const Section optimizer = settings.config.section("optimizer");
  const int64_t size = settings.parallel.batch.microbatch_size;
  int64_t first_sample = 0;
  ReferenceResult result;
  for (int64_t step = 1; step <= settings.steps; ++step) {
    size_t change = 0;
    while (change + 1 < settings.learning.rules.size() && settings.learning.rules[change + 1].at_step <= step) ++change;
    LearningRule rule = make_rule(settings.learning.rules[change].request, stages);
    // One norm where the last loss teaches the first stage as the rule has it, or both ends share a tensor.
    const std::string& scope = settings.clip.scope;
    const bool together = rule.weights.front().back() > 0 || table.defined();
    const bool of_model = scope == "model" || (scope == "auto" && together);
    // A body with nothing to train follows no loss.
    for (int k = 0; k < stages; ++k)
      if (bodies[k].values.empty() && !(k == 0 && table.defined())) rule.weights[k].assign(stages, 0.0);
    for (int k = 0; k < stages; ++k) {
      double column = 0, row = 0;
      for (int i = 0; i < stages; ++i) column += rule.weights[i][k], row += rule.weights[k][i];
      bodies[k].trained = row > 0;
      heads[k].trained = k + 1 == stages || column > 0 || all_heads;
      ever[k] = ever[k] || heads[k].trained;
    }
    int64_t microbatches = settings.parallel.shape.microbatches;
    for (const BatchPhase& phase : settings.parallel.batch.phases)
      if (phase.at_step <= step) microbatches = phase.microbatches;
    const int64_t per_step = settings.parallel.shape.replicas * microbatches * size;
    std::vector<int64_t> everything(per_step);
    std::iota(everything.begin(), everything.end(), first_sample);
    first_sample += per_step;
    const double count = static_cast<double>(dataset->predicted(Split::training, everything));
    double total = 0;
    std::map<int, double> of_heads;
    for (int64_t at = 0; at < per_step; at += size) {
      const Batch batch = dataset->batch(Split::training, std::span(everything).subspan(at, size));
      ForwardContext context{&batch, settings.seed, step, true};
      context.microbatch = at / size;
      at::Tensor x = batch.inputs;
      std::vector<at::Tensor> losses(stages);
      for (int k = 0, begin = 0; k < stages; begin += cut[k++]) {
        ForwardContext of_head = context;
        x = run_body(static_cast<Body&>(*bodies[k].module), *model, begin, cut[k], settings.techniques, x, context,
                     of_head.features);
        if (heads[k].trained) losses[k] = static_cast<Head&>(*heads[k].module).loss(x, of_head).sum / count;
      }
      total += losses[stages - 1].item<double>();
      for (int k = 0; k < stages; ++k)
        if (heads[k].trained) of_heads[k] += losses[k].item<double>();
      for (int k = 0; k < stages; ++k) {
        if (heads[k].trained) {
          const at::Tensor of_twin = add_gradients(heads[k], losses[k], k + 1 == stages ? twin : at::Tensor());
          if (of_twin.defined()) shared.add({of_twin});
        }
        if (!bodies[k].trained) continue;
        at::Tensor objective;
        for (int j = k; j < stages; ++j) {
          if (rule.weights[k][j] == 0) continue;
          const at::Tensor part = losses[j] * rule.weights[k][j];
          objective = objective.defined() ? objective + part : part;
        }
        const at::Tensor of_table = add_gradients(bodies[k], objective, k == 0 ? table : at::Tensor());
        if (of_table.defined()) shared.add({of_table});
      }
    }
    result.losses.push_back(total);
    result.head_losses.push_back(of_heads);
    const auto whole = [&] {
      bool finite = true;
      for (const auto& [stage, loss] : of_heads) finite = finite && std::isfinite(loss);
      for (Part& part : bodies) finite = finite && std::isfinite(part.squared_norm());
      for (Part& part : heads) finite = finite && std::isfinite(part.squared_norm());
      return finite && std::isfinite(shared.squared_norm());
    };
    const bool leaves_out = settings.divergence.policy == OnDivergence::skip && !whole();
    const double rate = rate_at(optimizer, step, settings.steps);
    result.stage_norms.emplace_back();
    double model_norm = shared.squared_norm();
    for (int k = 0; k < stages; ++k) {
      if (bodies[k].trained) model_norm += bodies[k].squared_norm();
      if (k + 1 == stages) model_norm += heads[k].squared_norm();
      if (!bodies[k].trained && k + 1 < stages) continue;  // it has no gradient
      // The table of tied embeddings is the first stage's.
      result.stage_norms.back()[k] =
          std::sqrt((k == 0 ? shared.squared_norm() : 0.0) + (bodies[k].trained ? bodies[k].squared_norm() : 0.0) +
                    (k + 1 == stages ? heads[k].squared_norm() : 0.0));
    }
    result.gradient_norms.push_back(std::sqrt(model_norm));
    if (leaves_out) {
      for (Part& part : bodies) part.gradients.clear();
      for (Part& part : heads) part.gradients.clear();
      shared.gradients.clear();
    }
    for (int k = 0; k < stages && !leaves_out; ++k) {
      const bool last = k + 1 == stages;
      const double own = (bodies[k].trained ? bodies[k].squared_norm() : 0.0) + (last ? heads[k].squared_norm() : 0.0);
      const double norm = std::sqrt(of_model ? model_norm : own);
      const double head_norm = last ? norm : std::sqrt(heads[k].squared_norm());
      if (bodies[k].trained) update(bodies[k], optimizer, rate, norm, settings.clip.norm);
      if (heads[k].trained) update(heads[k], optimizer, rate, head_norm, settings.clip.norm);
    }
    if (table.defined() && !leaves_out) {
      update(shared, optimizer, rate, std::sqrt(model_norm), settings.clip.norm);
      c10::NoGradGuard no_graph;
      twin.copy_(table);
    }
    if (step % settings.learning.refresh_every == 0) {
      c10::NoGradGuard no_graph;
      std::map<std::string, at::Tensor> readout;
      for (const auto& named : heads.back().module->named_parameters()) readout[named.key()] = named.value();
      std::vector<at::Tensor> now;
      for (const auto& [name, value] : readout) now.push_back(value.clone());
      for (Part& head : heads)
        for (auto& [name, copy] : static_cast<Head&>(*head.module).readout_copies())
          if (!next_readout.empty()) copy.copy_(next_readout[std::distance(readout.begin(), readout.find(name))]);
      next_readout = now;
    }
  }
  // Held-out samples one by one, so that there are no microbatches to get wrong.
  c10::NoGradGuard no_graph;
  std::map<int, double> sums;
  double predicted = 0;
  const int64_t held_out = std::min(settings.evaluation.sequences, dataset->samples(Split::held_out));
  // By microbatches: a head that counts its samples alike, as that of a reconstruction does, adds up by them.
  const int64_t at_once = settings.parallel.batch.microbatch_size;
  for (int64_t first = 0; first < held_out; first += at_once) {
    std::vector<int64_t> numbers(static_cast<size_t>(std::min(at_once, held_out - first)));
    std::iota(numbers.begin(), numbers.end(), first);
    const Batch batch = dataset->batch(Split::held_out, numbers);
    const ForwardContext context{&batch, settings.seed, settings.steps, false};
    at::Tensor x = batch.inputs;
    for (int k = 0, begin = 0; k < stages; begin += cut[k++]) {
      ForwardContext of_head = context;
      x = run_body(static_cast<Body&>(*bodies[k].module), *model, begin, cut[k], {}, x, context, of_head.features);
      if (!heads[k].trained) continue;
      const LossSum loss = static_cast<Head&>(*heads[k].module).loss(x, of_head);
      sums[k] += loss.sum.item<double>();
      if (k + 1 == stages) predicted += static_cast<double>(loss.count);
    }
  }
  for (const auto& [stage, sum] : sums) result.validation_losses[stage] = sum / predicted;
  result.validation_loss = result.validation_losses.at(stages - 1);
  for (int k = 0; k < stages; ++k) {
    for (const auto& named : bodies[k].module->named_parameters())
      result.parameters[named.key()] = named.value().detach();
    if (ever[k])
      for (const auto& named : heads[k].module->named_parameters())
        if (named.key() != tie.readout) result.parameters[named.key()] = named.value().detach();
  }
  return result;
}

}  // namespace interlock
