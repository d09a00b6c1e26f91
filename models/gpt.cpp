// The model "gpt": GPT-2 (Radford et al., 2019: learned places, pre-norm blocks that look at what stands before, GELU
// in its tanh form, a norm behind the last block) with the parameter names of Hugging Face's GPT2LMHeadModel. Owns what
// the model says about itself. Matrices are [outputs, inputs] as everywhere here; Hugging Face's files hold them the
// other way round (Conv1D).
#include <cassert>

#include "models/blocks/keyed.h"
#include "models/gpt_parts.h"
#include "models/model.h"
#include "models/transformer_model.h"

namespace interlock {
namespace {

class Gpt : public TransformerModel<GptSettings> {
 public:
  explicit Gpt(const ModelSettings& given) : TransformerModel(GptSettings::from(given)) {}

  std::shared_ptr<Body> body(int64_t begin, int64_t end) const override {
    assert(0 <= begin && begin < end && end <= units());
    const auto embeddings = begin == 0 ? std::make_shared<GptEmbeddings>(settings_) : nullptr;
    return std::make_shared<TransformerBody>(settings_, layer_path(), begin, end, embeddings, gpt_root);
  }

  std::shared_ptr<Head> readout() const override { return std::make_shared<GptReadout>(settings_); }

  std::shared_ptr<Head> head(const std::string& kind, int64_t units_below) const override {
    check_kind(kind);
    const HeadPlace place = head_place(units_below);
    if (kind == "shared_readout")
      return std::make_shared<SharedReadoutHead>(place.path(), settings_.block, place.layer(), settings_.seed,
                                                 std::make_shared<GptReadout>(settings_));
    return plain_head(kind, place);
  }

  std::vector<std::string> head_kinds() const override { return {"linear", "block", "shared_readout"}; }

  std::vector<Costs> unit_costs(int64_t samples) const override {
    std::vector<Costs> costs;
    for (int64_t unit = 0; unit < units(); ++unit)
      costs.push_back(transformer_costs(settings_.block, samples, settings_.length, settings_.part_of(unit)));
    costs[0] += gpt_embedding_costs(settings_, samples);
    return costs;
  }

  Costs readout_costs(int64_t samples) const override { return gpt_readout_costs(settings_, samples); }

  Costs head_costs(const std::string& kind, int64_t samples) const override {
    check_kind(kind);
    return gpt_head_costs(settings_, kind, samples);
  }

  std::optional<Tie> tie() const override {
    if (!settings_.tied) return std::nullopt;
    return Tie{gpt_word_table, gpt_decoder_weight, settings_.vocabulary * settings_.block.width};
  }
};

const Registration<Model, const ModelSettings&> registered("gpt", [](const ModelSettings& settings) {
  return std::make_unique<Gpt>(settings);
});

}  // namespace
}  // namespace interlock
