#include "models/resnet_settings.h"

#include <algorithm>
#include <numeric>

#include "runtime/core/error.h"

namespace interlock {
namespace {

std::vector<int64_t> read_list(const Section& model, const std::string& key, const std::vector<int64_t>& fallback,
                               int64_t most) {
  const std::vector<int64_t> list = model.integers(key, fallback);
  if (list.empty()) model.refuse(key, "must have a number for each group of blocks");
  for (const int64_t number : list)
    if (number < 1 || number > most) model.refuse(key, message("has ", number, "; each must be 1 to ", most));
  return list;
}

void check_groups(const ResnetSettings& settings, const Section& model) {
  const auto check = [&](int64_t channels, const ImageShape& image) {
    const int64_t groups = std::min(settings.norm.groups, channels);
    if (channels % groups != 0)
      model.refuse("norm_groups", message("is ", groups, ", which does not divide ", channels,
                                          " channels; group norm needs equal groups"));
    // Such a norm makes zero of every number: nothing gets through, either way.
    if (channels == groups && image.height * image.width == 1)
      model.refuse("norm_groups",
                   message("is ", groups, ", one channel to a group, and where images are 1 x 1 a group is ",
                           "one number, which its norm takes away; name fewer groups than ", channels));
  };
  check(settings.stem.width, settings.stem.convolved(settings.image));
  for (int64_t unit = 0; unit < settings.units(); ++unit) {
    const ImageShape made = settings.behind(unit + 1);
    check(settings.block(unit).shape.width, made);
    check(settings.block(unit).shape.outputs(), made);
  }
}

}  // namespace

int64_t ResnetSettings::units() const { return std::accumulate(blocks.begin(), blocks.end(), int64_t{0}); }

ResnetSettings::Block ResnetSettings::block(int64_t unit) const {
  Block at;
  at.input = stem.result(image);
  for (int64_t before = 0;; ++before) {
    const int64_t stride = at.group > 0 && at.place == 0 ? 2 : 1;
    at.shape = {bottleneck, at.input.channels, widths[static_cast<size_t>(at.group)], stride};
    at.output = {at.shape.outputs(), (at.input.height - 1) / stride + 1, (at.input.width - 1) / stride + 1};
    if (before == unit) return at;
    at.input = at.output;
    if (++at.place == blocks[static_cast<size_t>(at.group)]) ++at.group, at.place = 0;
  }
}

ResnetSettings read_resnet(const ModelSettings& given) {
  constexpr int64_t most_blocks = 1000, most_channels = 1 << 16;
  const Section& model = given.model;
  ResnetSettings settings;
  settings.blocks = read_list(model, "blocks", settings.blocks, most_blocks);
  settings.widths = read_list(model, "widths", settings.widths, most_channels);
  if (settings.blocks.size() != settings.widths.size())
    model.refuse("widths", message("has ", settings.widths.size(), " numbers and model.blocks ", settings.blocks.size(),
                                   "; each group of blocks has one of both"));
  settings.bottleneck = model.one_of("block", "basic", {"basic", "bottleneck"}) == "bottleneck";
  settings.zero_init_residual = model.flag("zero_init_residual", false);
  settings.norm.batch = model.one_of("norm", "batch", {"batch", "group"}) == "batch";
  if (!settings.norm.batch) settings.norm.groups = model.integer("norm_groups", settings.norm.groups, 1, most_channels);
  settings.stem.pools = model.one_of("stem", "cifar", {"cifar", "imagenet"}) == "imagenet";
  settings.stem.inputs = given.image.channels;
  settings.stem.width = settings.widths.front();
  settings.image = given.image;
  settings.classes = given.classes;
  settings.seed = given.seed;
  settings.numbers = numbers_of(given.precision);
  if (given.image.numbers() == 0 || given.objective != Objective::classification)
    model.refuse("name",
                 "the model resnet tells classes of images (data.name = \"cifar\", \"images\" or \"idx\"), and "
                 "this data set has none");
  if (given.classes < 2)
    model.refuse("name", message("the model resnet tells classes apart, and ",
                                 given.classes == 1 ? "[data] has one class alone"
                                                    : "the files that show the classes of [data] are not there"));
  if (!settings.norm.batch) check_groups(settings, model);
  return settings;
}

}  // namespace interlock
