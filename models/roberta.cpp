// The model "roberta": the encoder of Liu et al., 2019 (learned positions with offset 2, post-norm blocks, exact GELU,
// masked language modelling) with the parameter names of Hugging Face's RobertaForMaskedLM; with model.norm = "pre"
// that of RobertaPreLayerNormForMaskedLM. Owns its slices and what the model says about itself.
#include <cassert>
#include <map>

#include "models/blocks/embeddings.h"
#include "models/blocks/heads.h"
#include "models/blocks/keyed.h"
#include "models/blocks/reconstruction.h"
#include "models/blocks/transformer_body.h"
#include "models/model.h"
#include "models/roberta_costs.h"
#include "models/roberta_readout.h"
#include "models/roberta_settings.h"
#include "models/transformer_model.h"

namespace interlock {
namespace {

class Roberta : public TransformerModel<RobertaSettings> {
 public:
  explicit Roberta(const ModelSettings& given) : TransformerModel(RobertaSettings::from(given)) {}

  std::shared_ptr<Body> body(int64_t begin, int64_t end) const override {
    assert(0 <= begin && begin < end && end <= units());
    const TransformerShape& shape = settings_.block;
    std::shared_ptr<RobertaEmbeddings> embeddings;
    if (begin == 0)
      embeddings = std::make_shared<RobertaEmbeddings>(
          RobertaEmbeddings::Shape{settings_.vocabulary, settings_.max_length, shape.width, settings_.token_types,
                                   shape.dropout, shape.norm_epsilon, shape.numbers});
    const auto made = std::make_shared<TransformerBody>(settings_, layer_path(), begin, end, embeddings,
                                                        settings_.root() + ".embeddings");
    if (embeddings) embeddings->clear_padding_rows();
    return made;
  }

  std::shared_ptr<Head> readout() const override {
    // Blocks draw with their number; the readout with the one behind the last.
    return make_readout(settings_, static_cast<uint64_t>(settings_.layers));
  }

  std::shared_ptr<Head> head(const std::string& kind, int64_t units_below) const override {
    check_kind(kind);
    const TransformerShape& shape = settings_.block;
    const HeadPlace place = head_place(units_below);
    if (kind == "shared_readout")
      return std::make_shared<SharedReadoutHead>(place.path(), shape, place.layer(), settings_.seed,
                                                 make_readout(settings_, place.layer()));
    if (kind == "reconstruction")
      return std::make_shared<ReconstructionHead>(place.path(), shape.width, shape.numbers.parameters, settings_.seed);
    return plain_head(kind, place);
  }

  std::vector<std::string> head_kinds() const override {
    return {"linear", "block", "shared_readout", "reconstruction"};
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
};

const Registration<Model, const ModelSettings&> registered("roberta", [](const ModelSettings& settings) {
  return std::make_unique<Roberta>(settings);
});

}  // namespace
}  // namespace interlock
