// The model "resnet": residual networks for images (He et al., 2015), with the names of torchvision's ResNet. Owns its
// slices and what it says about itself.
#include <algorithm>
#include <cassert>

#include "models/blocks/image_start.h"
#include "models/resnet_costs.h"
#include "models/resnet_settings.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

class ResnetBody : public Body {
 public:
  ResnetBody(const ResnetSettings& settings, int64_t begin, int64_t end) : settings_(settings) {
    const at::ScalarType type = settings.numbers.parameters;
    if (begin == 0) stem_.emplace(*this, settings.stem, settings.norm, type);
    for (int64_t unit = begin; unit < end; ++unit) {
      const ResnetSettings::Block block = settings.block(unit);
      const std::string path = "layer" + std::to_string(block.group + 1) + "." + std::to_string(block.place);
      blocks_.push_back(attach_new<ResidualBlock>(*this, path, block.shape, settings.norm, type));
    }
    initialize_image_network(*this, settings.seed);
    const c10::NoGradGuard no_graph;
    for (const auto& block : blocks_)
      if (settings.zero_init_residual) block->last_norm().weight.zero_();
  }

  int64_t segments() const override { return segments_before_units() + static_cast<int64_t>(blocks_.size()); }
  int64_t segments_before_units() const override { return stem_ ? 1 : 0; }

  at::Tensor forward_segment(int64_t segment, const at::Tensor& input, const ForwardContext& context) override {
    if (!stem_ || segment > 0) return block_of(segment).forward(arranged(input), context);
    const ImageShape& image = settings_.image;
    const at::Tensor images =
        input.to(settings_.numbers.hidden).view({input.size(0), image.channels, image.height, image.width});
    return stem_->forward(arranged(images), context);
  }

  std::vector<at::Tensor> segment_parameters(int64_t segment) const override {
    return stem_ && segment == 0 ? stem_->parameters() : block_of(segment).parameters();
  }

 private:
  // A GPU's products in bfloat16 want the channels of a place beside each other. A stage that gets its input by a
  // message arranges it as one that does not, so that both compute the same.
  static at::Tensor arranged(const at::Tensor& x) {
    const bool by_place = x.is_cuda() && x.scalar_type() == at::kBFloat16;
    return by_place ? x.contiguous(at::MemoryFormat::ChannelsLast) : x;
  }

  ResidualBlock& block_of(int64_t segment) const {
    return *blocks_.at(static_cast<size_t>(segment - segments_before_units()));
  }

  ResnetSettings settings_;
  std::optional<Stem> stem_;  // on the first slice
  std::vector<std::shared_ptr<ResidualBlock>> blocks_;
};

class Resnet : public Model {
 public:
  explicit Resnet(const ModelSettings& given) : settings_(read_resnet(given)) {}

  int64_t units() const override { return settings_.units(); }
  // Where the shortcut is the input itself, a block may be left out.
  std::optional<int64_t> layer_of(int64_t unit) const override {
    return settings_.block(unit).shape.projects() ? std::nullopt : std::optional(unit);
  }

  std::shared_ptr<Body> body(int64_t begin, int64_t end) const override {
    assert(0 <= begin && begin < end && end <= units());
    return std::make_shared<ResnetBody>(settings_, begin, end);
  }

  std::shared_ptr<Head> readout() const override {
    return started(std::make_shared<PooledReadout>("fc", settings_.behind(units()).channels, settings_.classes,
                                                   settings_.numbers.parameters));
  }

  std::shared_ptr<Head> head(const std::string& kind, int64_t units_below) const override {
    const std::string path = "heads." + std::to_string(units_below);
    const ImageShape image = settings_.behind(units_below);
    if (const auto shape = sequence(kind, image))
      return started(std::make_shared<SequenceHead>(path, *shape, settings_.norm, settings_.classes,
                                                    settings_.numbers.parameters));
    // As torch.nn.Sequential would number it behind a pool and flattening.
    return started(
        std::make_shared<PooledReadout>(path + ".2", image.channels, settings_.classes, settings_.numbers.parameters));
  }

  std::vector<std::string> head_kinds() const override { return {"linear", "paper", "dgl"}; }

  std::vector<Costs> unit_costs(int64_t samples) const override {
    std::vector<Costs> costs;
    for (int64_t unit = 0; unit < units(); ++unit)
      costs.push_back(block_costs(settings_, settings_.block(unit), samples));
    costs.front() += stem_costs(settings_, samples);
    return costs;
  }

  Costs readout_costs(int64_t samples) const override {
    return pooled_readout_costs(settings_, settings_.behind(units()), samples);
  }

  Costs head_costs(const std::string& kind, int64_t samples) const override {
    return head_costs_above(kind, 1, samples);
  }

  Costs head_costs_above(const std::string& kind, int64_t units_below, int64_t samples) const override {
    const ImageShape image = settings_.behind(units_below);
    if (const auto shape = sequence(kind, image)) return sequence_head_costs(settings_, *shape, image, samples);
    return pooled_readout_costs(settings_, image, samples);
  }

  at::ScalarType input_type() const override { return at::kFloat; }
  int64_t classes() const override { return settings_.classes; }
  Boundary boundary(int64_t units_below) const override {
    const ImageShape image = settings_.behind(units_below);
    return {{image.channels, image.height, image.width}, settings_.numbers.hidden};
  }

 private:
  // Of a head that is a sequence of layers, above such images.
  std::optional<SequenceShape> sequence(const std::string& kind, const ImageShape& image) const {
    std::optional<SequenceShape> shape;
    if (kind == "paper") shape = paper_head(image.channels);
    if (kind == "dgl") shape = dgl_head(image.channels);
    if (!shape && kind != "linear") throw Error(ExitCode::config, unknown_name("head", kind, head_kinds()));
    if (shape && !settings_.norm.batch) check_groups(kind, *shape, image);
    return shape;
  }

  // A head has channels of its own, and may look at fewer places than the network.
  void check_groups(const std::string& kind, const SequenceShape& shape, const ImageShape& image) const {
    const int64_t cell = std::max<int64_t>(shape.shrink, 1);
    const bool is_one_place = image.height <= cell && image.width <= cell;
    for (const ConvolutionShape& one : shape.convolutions) {
      const int64_t groups = std::min(settings_.norm.groups, one.outputs);
      const std::string has = message("model.norm_groups: is ", settings_.norm.groups, ", and a head \"", kind,
                                      "\" has ", one.outputs, " channels");
      if (one.outputs % groups != 0) throw Error(ExitCode::config, has + ", which group norm cannot part equally");
      if (is_one_place && groups == one.outputs)
        throw Error(ExitCode::config, message(has, " of one place where images are ", image.height, " x ", image.width,
                                              ": a group is one number, which its norm takes away; name fewer groups"));
    }
  }

  template <class HeadKind>
  std::shared_ptr<Head> started(std::shared_ptr<HeadKind> head) const {
    initialize_image_network(*head, settings_.seed);
    return head;
  }

  ResnetSettings settings_;
};

const Registration<Model, const ModelSettings&> registered("resnet", [](const ModelSettings& settings) {
  return std::make_unique<Resnet>(settings);
});

}  // namespace
}  // namespace interlock
