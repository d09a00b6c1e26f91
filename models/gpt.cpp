// The model "gpt": GPT-2 (Radford et al., 2019: learned places, pre-norm blocks that look at what stands before, GELU
// in its tanh form, a norm behind the last block) with the parameter names of Hugging Face's GPT2LMHeadModel. Owns what
// the model says about itself. Matrices are [outputs, inputs] as everywhere here; Hugging Face's files hold them the
// other way round (Conv1D).
#include <algorithm>
#include <cassert>

#include "models/blocks/keyed.h"
#include "models/gpt_parts.h"
#include "models/model.h"
#include "models/residual_stream.h"

namespace interlock {
namespace {

class Gpt : public Model, public ResidualStream {
 public:
  explicit Gpt(const ModelSettings& given) : settings_(GptSettings::from(given)) {}

  int64_t units() const override { return settings_.units(); }
  bool offers(Unit) const override { return true; }
  bool has_residual_stream() const override { return true; }
  std::optional<int64_t> layer_of(int64_t unit) const override { return unit / settings_.units_of_a_block(); }

  std::shared_ptr<Body> body(int64_t begin, int64_t end) const override {
    assert(0 <= begin && begin < end && end <= units());
    const auto embeddings = begin == 0 ? std::make_shared<GptEmbeddings>(settings_) : nullptr;
    return std::make_shared<TransformerBody>(settings_, layer_path(), begin, end, embeddings, gpt_root);
  }

  std::shared_ptr<Head> readout() const override { return std::make_shared<GptReadout>(settings_); }

  std::shared_ptr<Head> head(const std::string& kind, int64_t units_below) const override {
    check_kind(kind);
    const TransformerShape& shape = settings_.block;
    const int64_t of_a_block = settings_.units_of_a_block();
    const HeadPlace place{units_below / of_a_block, units_below % of_a_block != 0};
    if (kind == "shared_readout")
      return std::make_shared<SharedReadoutHead>(place.path(), shape, place.layer(), settings_.seed,
                                                 std::make_shared<GptReadout>(settings_));
    std::shared_ptr<Head> made;
    if (kind == "block") {
      made = std::make_shared<BlockHead>(place.path(), shape, place.layer(), settings_.classes);
    } else {
      made = std::make_shared<LinearHead>(place.path(), shape.width, settings_.classes, shape.numbers.parameters);
    }
    initialize_blocks(*made, shape, settings_.seed);
    return made;
  }

  std::vector<std::string> head_kinds() const override { return {"linear", "block", "shared_readout"}; }

  std::vector<InsertionSite> sites() const override { return transformer_network_sites(settings_, layer_path()); }

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

  at::ScalarType input_type() const override { return at::kLong; }
  int64_t classes() const override { return settings_.classes; }
  int64_t vocabulary() const override { return settings_.vocabulary; }
  int64_t max_length() const override { return settings_.max_length; }
  Boundary boundary(int64_t) const override {
    return {{settings_.length, settings_.block.width}, settings_.block.numbers.hidden, 0};
  }

 private:
  LayerPath layer_path() const {
    return [settings = settings_](int64_t layer) { return settings.layer_path(layer); };
  }
  void check_kind(const std::string& kind) const {
    const auto kinds = head_kinds();
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end())
      throw Error(ExitCode::config, unknown_name("head", kind, kinds));
  }

  GptSettings settings_;
};

const Registration<Model, const ModelSettings&> registered("gpt", [](const ModelSettings& settings) {
  return std::make_unique<Gpt>(settings);
});

}  // namespace
}  // namespace interlock
