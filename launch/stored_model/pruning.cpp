#include "launch/stored_model/pruning.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <sstream>

#include "launch/stored_model/stored_run.h"
#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

std::optional<int64_t> whole_number(std::string_view text) {
  int64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// A name around a number: the tensors of layer 3 are roberta.encoder.layer.3.*, of a head above three heads.3.*.
struct Numbered {
  std::string before, after;
  int64_t number = 0;
  std::string with(int64_t other) const { return before + std::to_string(other) + after; }
};

std::optional<Numbered> numbered(const std::string& name, const std::string& before, const std::string& ends) {
  const size_t at = name.find(before);
  if (at == std::string::npos) return std::nullopt;
  const size_t begin = at + before.size(), end = name.find_first_of(ends, begin);
  if (end == std::string::npos) return std::nullopt;
  const auto number = whole_number(std::string_view(name).substr(begin, end - begin));
  if (!number) return std::nullopt;
  return Numbered{name.substr(0, begin), name.substr(end), *number};
}

// As RoBERTa's names have it, and GPT-2's.
std::optional<Numbered> layer_in(const std::string& name) {
  const auto layer = numbered(name, "layer.", ".");
  return layer ? layer : numbered(name, "transformer.h.", ".");
}

bool is_of_head(const std::string& name) { return name.starts_with("heads."); }

std::optional<int64_t> place_of(const KeptLayers& kept, int64_t layer) {
  const auto found = std::ranges::find(kept, layer);
  return found == kept.end() ? std::nullopt : std::optional(found - kept.begin());
}

// heads.3.* stands above layer 2, heads.3_attention.* above the attention part of layer 3. Above the last layer stands
// the readout.
std::optional<std::string> head_name(const Numbered& head, const KeptLayers& kept) {
  const bool inside = head.after.starts_with("_");
  const auto place = place_of(kept, inside ? head.number : head.number - 1);
  if (!place || (!inside && *place + 1 == std::ssize(kept))) return std::nullopt;
  return head.with(inside ? *place : *place + 1);
}

class BodyWithLayers final : public Body {
 public:
  BodyWithLayers(std::shared_ptr<Body> body, const KeptLayers& kept, int64_t units) : body_(std::move(body)) {
    const int64_t before = body_->segments() - units;
    for (int64_t segment = 0; segment < before; ++segment) segments_.push_back(segment);
    for (const int64_t layer : kept) segments_.push_back(before + layer);
  }
  int64_t segments() const override { return std::ssize(segments_); }
  at::Tensor forward_segment(int64_t segment, const at::Tensor& input, const ForwardContext& context) override {
    return body_->forward_segment(segments_.at(segment), input, context);
  }
  std::vector<at::Tensor> segment_parameters(int64_t segment) const override {
    return body_->segment_parameters(segments_.at(segment));
  }

 private:
  std::shared_ptr<Body> body_;
  std::vector<int64_t> segments_;
};

}  // namespace

KeptLayers read_kept_layers(const std::string& text, int64_t layers) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ExitCode::config, message("--keep ", text, ": ", what, "; the model has layers 0 to ", layers - 1));
  };
  KeptLayers kept;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    const auto number = whole_number(word);
    if (!number) refuse(message("\"", word, "\" is no number of a layer; write --keep 0,2,4"));
    if (*number < 0 || *number >= layers) refuse(message("there is no layer ", *number));
    kept.push_back(*number);
  }
  if (kept.empty()) refuse("no layer is named");
  std::ranges::sort(kept);
  if (const auto twice = std::ranges::adjacent_find(kept); twice != kept.end())
    refuse(message("layer ", *twice, " stands twice"));
  return kept;
}

KeptLayers every_other(int64_t layers, int64_t wanted) {
  KeptLayers kept;
  for (int64_t i = 0; i < wanted; ++i) kept.push_back(i * layers / wanted);
  return kept;
}

KeptLayers without_the_last(int64_t wanted) {
  KeptLayers kept(wanted);
  std::iota(kept.begin(), kept.end(), int64_t{0});
  return kept;
}

KeptLayers search_layers(int64_t layers, int64_t wanted, const std::function<double(const KeptLayers&)>& loss) {
  KeptLayers kept = without_the_last(layers);
  while (std::ssize(kept) > wanted) {
    KeptLayers best;
    double lowest = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < kept.size(); ++i) {
      KeptLayers fewer = kept;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      const double found = loss(fewer);
      if (best.empty() || found < lowest) lowest = found, best = std::move(fewer);
    }
    kept = std::move(best);
  }
  return kept;
}

LoadedModel with_layers(const LoadedModel& model, const KeptLayers& kept) {
  return {std::make_shared<BodyWithLayers>(model.body, kept, model.layers), model.readout, std::ssize(kept)};
}

Pruning prune_tensors(const WeightsSet& weights, const KeptLayers& kept, int64_t layers) {
  Pruning pruning;
  std::set<int64_t> found;
  std::set<std::string> heads;
  for (const TensorEntry& tensor : weights.tensors()) {
    const std::string& name = tensor.name;
    std::string renamed = name;
    if (is_of_head(name)) {
      const auto head = numbered(name, "heads.", "._");
      const auto stays = head ? head_name(*head, kept) : std::nullopt;
      if (!stays) heads.insert(name.substr(0, name.find('.', std::string("heads.").size())));
      if (!stays) continue;
      renamed = *stays;
    } else if (const auto layer = layer_in(name)) {
      found.insert(layer->number);
      const auto place = place_of(kept, layer->number);
      if (!place) continue;
      renamed = layer->with(*place);
    }
    pruning.tensors.emplace_back(renamed, name);
  }
  for (int64_t layer = 0; layer < layers; ++layer)
    if (!found.contains(layer))
      throw Error(ExitCode::bad_input, message(weights.path(), ": has no tensors of layer ", layer,
                                               ", though the model of its config has ", layers, " layers"));
  pruning.left_out_heads.assign(heads.begin(), heads.end());
  return pruning;
}

std::string pruned_config(const WeightsSet& weights, const KeptLayers& kept) {
  return model_config(weights, {{"model.layers", std::to_string(kept.size())}});
}

}  // namespace interlock
