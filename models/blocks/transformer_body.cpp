#include "models/blocks/transformer_body.h"

#include <algorithm>

namespace interlock {

TransformerBody::TransformerBody(const TransformerSettings& settings, LayerPath layer_path, int64_t begin, int64_t end,
                                 std::shared_ptr<TokenEmbeddings> embeddings, const std::string& path)
    : layer_path_(std::move(layer_path)), embeddings_(std::move(embeddings)) {
  const TransformerShape& shape = settings.block;
  // Its parts one by one: `path` may be where blocks go as well.
  if (embeddings_)
    for (const auto& part : embeddings_->named_children()) attach(*this, path + "." + part.key(), part.value());
  const int64_t of_a_block = settings.units_of_a_block();
  for (int64_t unit = begin; unit < end;) {
    const int64_t layer = unit / of_a_block, next = std::min(end, (layer + 1) * of_a_block);
    const Part held = next - unit == of_a_block ? Part::whole : settings.part_of(unit);
    const auto block =
        attach_new<TransformerBlock>(*this, layer_path_(layer), shape, static_cast<uint64_t>(layer), held);
    blocks_[layer] = block;
    for (; unit < next; ++unit) units_.push_back({block, settings.part_of(unit)});
  }
  initialize_blocks(*this, shape, settings.seed);
}

at::Tensor TransformerBody::forward_segment(int64_t segment, const at::Tensor& input, const ForwardContext& context) {
  if (segment < segments_before_units()) return embeddings_->forward(input, context);
  return unit(segment).block->forward(input, context, unit(segment).part);
}

std::vector<at::Tensor> TransformerBody::segment_parameters(int64_t segment) const {
  return segment < segments_before_units() ? embeddings_->parameters()
                                           : unit(segment).block->parameters_of(unit(segment).part);
}

void TransformerBody::insert(const InsertionSite& site, std::shared_ptr<Insertion> insertion) {
  const std::string path = layer_path_(site.layer);
  attach_insertion(*this, site, *insertion);
  blocks_.at(site.layer)->insert(site.name == path ? "" : site.name.substr(path.size() + 1), std::move(insertion));
}

std::vector<InsertionSite> transformer_network_sites(const TransformerSettings& settings, const LayerPath& layer_path) {
  std::vector<InsertionSite> all;
  const int64_t of_a_block = settings.units_of_a_block();
  for (int64_t layer = 0; layer < settings.layers; ++layer) {
    const std::string path = layer_path(layer);
    for (InsertionSite site : transformer_sites(path, settings.block)) {
      site.layer = layer;
      site.unit = layer * of_a_block + (is_in_attention(site, path, settings.block) ? 0 : of_a_block - 1);
      all.push_back(site);
    }
  }
  return all;
}

}  // namespace interlock
