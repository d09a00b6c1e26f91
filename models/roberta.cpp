// The model "roberta": the encoder of Liu et al., 2019 (learned positions with offset 2, post-norm blocks, exact GELU,
// masked language modelling) with the parameter names of Hugging Face's RobertaForMaskedLM; with model.norm = "pre"
// that of RobertaPreLayerNormForMaskedLM. Owns its slices and what the model says about itself.
#include <algorithm>
#include <cassert>
#include <map>

#include "models/blocks/embeddings.h"
#include "models/blocks/heads.h"
#include "models/blocks/keyed.h"
#include "models/blocks/reconstruction.h"
#include "models/blocks/transformer.h"
#include "models/model.h"
#include "models/residual_stream.h"
#include "models/roberta_costs.h"
#include "models/roberta_readout.h"
#include "models/roberta_settings.h"

namespace interlock {
namespace {

class RobertaBody : public Body {
 public:
  RobertaBody(const RobertaSettings& settings, int64_t begin, int64_t end) : settings_(settings) {
    const TransformerShape& shape = settings.block;
    if (begin == 0) {
      embeddings_ = attach_new<RobertaEmbeddings>(*this, settings.root() + ".embeddings", settings.vocabulary,
                                                  settings.max_length, shape.width, shape.dropout, shape.numbers);
    }
    const int64_t of_a_block = settings.units_of_a_block();
    for (int64_t unit = begin; unit < end;) {
      const int64_t layer = unit / of_a_block, next = std::min(end, (layer + 1) * of_a_block);
      const Part held = next - unit == of_a_block ? Part::whole : settings.part_of(unit);
      const auto block =
          attach_new<TransformerBlock>(*this, settings.layer_path(layer), shape, static_cast<uint64_t>(layer), held);
      blocks_[layer] = block;
      for (; unit < next; ++unit) units_.push_back({block, settings.part_of(unit)});
    }
    initialize_blocks(*this, shape, settings.seed);
    if (embeddings_) embeddings_->clear_padding_rows();
  }

  int64_t segments() const override { return segments_before_units() + static_cast<int64_t>(units_.size()); }
  int64_t segments_before_units() const override { return embeddings_ ? 1 : 0; }

  at::Tensor forward_segment(int64_t segment, const at::Tensor& input, const ForwardContext& context) override {
    if (segment < segments_before_units()) return embeddings_->forward(input, context);
    return unit(segment).block->forward(input, context, unit(segment).part);
  }

  std::vector<at::Tensor> segment_parameters(int64_t segment) const override {
    return segment < segments_before_units() ? embeddings_->parameters()
                                             : unit(segment).block->parameters_of(unit(segment).part);
  }

  void insert(const InsertionSite& site, std::shared_ptr<Insertion> insertion) override {
    const std::string path = settings_.layer_path(site.layer);
    attach_insertion(*this, site, *insertion);
    blocks_.at(site.layer)->insert(site.name == path ? "" : site.name.substr(path.size() + 1), std::move(insertion));
  }

 private:
  struct UnitOfBlock {
    std::shared_ptr<TransformerBlock> block;  // which the slice may hold in part
    Part part;
  };
  const UnitOfBlock& unit(int64_t segment) const {
    return units_.at(static_cast<size_t>(segment - segments_before_units()));
  }

  RobertaSettings settings_;
  std::shared_ptr<RobertaEmbeddings> embeddings_;  // on the first slice
  std::vector<UnitOfBlock> units_;
  std::map<int64_t, std::shared_ptr<TransformerBlock>> blocks_;  // by layer
};

class Roberta : public Model, public ResidualStream {
 public:
  explicit Roberta(const ModelSettings& given) : settings_(RobertaSettings::from(given)) {}

  int64_t units() const override { return settings_.units(); }
  bool offers(Unit) const override { return true; }
  bool has_residual_stream() const override { return settings_.pre_norm(); }
  std::optional<int64_t> layer_of(int64_t unit) const override { return unit / settings_.units_of_a_block(); }

  std::shared_ptr<Body> body(int64_t begin, int64_t end) const override {
    assert(0 <= begin && begin < end && end <= units());
    return std::make_shared<RobertaBody>(settings_, begin, end);
  }

  std::shared_ptr<Head> readout() const override {
    // Blocks draw with their number; the readout with the one behind the last.
    return make_readout(settings_, static_cast<uint64_t>(settings_.layers));
  }

  std::shared_ptr<Head> head(const std::string& kind, int64_t units_below) const override {
    check_kind(kind);
    const TransformerShape& shape = settings_.block;
    const int64_t of_a_block = settings_.units_of_a_block();
    const HeadPlace place{units_below / of_a_block, units_below % of_a_block != 0};
    if (kind == "shared_readout") return std::make_shared<SharedReadoutHead>(settings_, place);
    if (kind == "reconstruction")
      return std::make_shared<ReconstructionHead>(place.path(), shape.width, shape.numbers.parameters, settings_.seed);
    std::shared_ptr<Head> made;
    if (kind == "block") {
      made = std::make_shared<BlockHead>(place.path(), shape, place.layer(), settings_.classes);
    } else {
      made = std::make_shared<LinearHead>(place.path(), shape.width, settings_.classes, shape.numbers.parameters);
    }
    initialize_blocks(*made, shape, settings_.seed);
    return made;
  }

  std::vector<std::string> head_kinds() const override {
    return {"linear", "block", "shared_readout", "reconstruction"};
  }

  std::vector<InsertionSite> sites() const override {
    std::vector<InsertionSite> all;
    const int64_t of_a_block = settings_.units_of_a_block();
    for (int64_t layer = 0; layer < settings_.layers; ++layer) {
      const std::string path = settings_.layer_path(layer);
      for (InsertionSite site : transformer_sites(path, settings_.block)) {
        site.layer = layer;
        site.unit = layer * of_a_block + (is_in_attention(site, path, settings_.block) ? 0 : of_a_block - 1);
        all.push_back(site);
      }
    }
    return all;
  }

  std::vector<Costs> unit_costs(int64_t samples) const override {
    std::vector<Costs> costs;
    for (int64_t unit = 0; unit < units(); ++unit)
      costs.push_back(roberta_block_costs(settings_, samples, settings_.part_of(unit)));
    costs[0] += roberta_embedding_costs(settings_, samples);
    return costs;
  }

  Costs readout_costs(int64_t samples) const override { return roberta_readout_costs(settings_, samples); }

  Costs head_costs(const std::string& kind, int64_t samples) const override {
    check_kind(kind);
    return roberta_head_costs(settings_, kind, samples);
  }

  // Hugging Face keeps the decoder's bias under both names when the decoder is not tied, and neither of the decoder's
  // tensors when it is.
  std::vector<std::pair<std::string, std::string>> aliases() const override {
    if (settings_.tied || settings_.objective != Objective::masked) return {};
    return {{"lm_head.decoder.bias", "lm_head.bias"}};
  }

  std::optional<Tie> tie() const override {
    if (!settings_.tied || settings_.objective != Objective::masked) return std::nullopt;
    return Tie{settings_.word_table(), decoder_weight, settings_.vocabulary * settings_.block.width};
  }

  at::ScalarType input_type() const override { return at::kLong; }
  int64_t classes() const override { return settings_.classes; }
  int64_t vocabulary() const override { return settings_.vocabulary; }
  int64_t max_length() const override { return settings_.max_length; }
  Boundary boundary(int64_t) const override {
    return {{settings_.length, settings_.block.width}, settings_.block.numbers.hidden, 0};
  }

 private:
  void check_kind(const std::string& kind) const {
    const auto kinds = head_kinds();
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
      throw Error(ExitCode::config, unknown_name("head", kind, kinds));
    }
  }

  RobertaSettings settings_;
};

const Registration<Model, const ModelSettings&> registered("roberta", [](const ModelSettings& settings) {
  return std::make_unique<Roberta>(settings);
});

}  // namespace
}  // namespace interlock
