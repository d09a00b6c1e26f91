#include "launch/stored_model/image_model.h"

#include <ATen/ops/softmax.h>

#include <algorithm>
#include <numeric>

#include "launch/settings/parts.h"
#include "launch/stored_model/batch_workers.h"
#include "launch/stored_model/evaluation.h"
#include "launch/stored_model/finite_scores.h"
#include "launch/stored_model/model_source.h"
#include "runtime/core/nearest_name.h"
#include "runtime/core/printable.h"
#include "runtime/data/sample_order.h"
#include "runtime/observe/scores.h"

namespace interlock {
namespace {

std::unique_ptr<Dataset> dataset_of(const RunSettings& settings, const Config& config, bool looks_at_files,
                                    bool training = false) {
  const DatasetSettings parts{.data = config.section("data"),
                              .objective = config.section("objective"),
                              .tokenizer = config.section("tokenizer"),
                              .seed = settings.seed,
                              .training = training,
                              .looks_at_files = looks_at_files};
  return Datasets::instance().create("dataset", settings.dataset_name, parts);
}

// The settings of the weights with other files in the keys of the held-out split.
Config with_files(const RunSettings& settings, const Dataset& dataset, const std::vector<std::string>& files) {
  const std::vector<std::string> keys = dataset.evaluation_keys();
  if (files.size() != keys.size())
    throw Error(ExitCode::usage, message("--data takes ", keys.size(), " for data \"", settings.dataset_name,
                                         "\", what stands in data.", join(keys), "; found ", files.size()));
  std::vector<std::string> overrides;
  for (size_t i = 0; i < keys.size(); ++i)
    overrides.push_back("data." + keys[i] + "=" + toml_quoted(files[i], "--data"));
  if (!dataset.labels().empty()) overrides.push_back("data.labels=" + toml_quoted(dataset.labels(), "a label"));
  return Config::from_text(settings.config.resolved(), overrides);
}

std::vector<int64_t> numbers_from(int64_t begin, int64_t end) {
  std::vector<int64_t> numbers(static_cast<size_t>(end - begin));
  std::iota(numbers.begin(), numbers.end(), begin);
  return numbers;
}

}  // namespace

std::vector<std::string> ImageModel::classes() const {
  std::vector<std::string> names = data->labels();
  for (auto i = std::ssize(names); i < data->classes(); ++i) names.push_back(std::to_string(i));
  return names;
}

bool is_image_model(const WeightsSet& weights) {
  const RunSettings settings = stored_settings(weights);
  return dataset_of(settings, settings.config, false)->content() == SampleContent::numbers;
}

bool has_images(const WeightsSet& weights) {
  const RunSettings settings = stored_settings(weights);
  return dataset_of(settings, settings.config, false)->image().numbers() > 0;
}

ImageModel open_image_model(const std::shared_ptr<const WeightsSet>& weights, const std::vector<std::string>& files,
                            HeldOutPart part) {
  const RunSettings settings = stored_settings(*weights);
  const auto asked = dataset_of(settings, settings.config, false);
  std::shared_ptr<Dataset> data = files.empty() ? dataset_of(settings, settings.config, true, true)
                                                : dataset_of(settings, with_files(settings, *asked, files), true);
  data = with_held_out_part(std::move(data), part);
  data->open();
  const std::shared_ptr<Model> model = make_model(settings, *data);
  return {weights, settings, model, data};
}

double majority_of(const Dataset& data, int64_t count) {
  constexpr int64_t at_once = 1 << 12;
  std::vector<Guess> truths;
  for (int64_t begin = 0; begin < count; begin += at_once) {
    const auto numbers = numbers_from(begin, std::min(count, begin + at_once));
    const at::Tensor targets =
        data.batch(Split::held_out, numbers, {.inputs = false, .targets = true}).targets.contiguous();
    for (int64_t i = 0; i < targets.numel(); ++i)
      truths.push_back({0, static_cast<double>(targets.const_data_ptr<int64_t>()[i])});
  }
  return majority_share(truths);
}

int64_t ImageGuess::guess() const { return std::ranges::max_element(probabilities) - probabilities.begin(); }

std::vector<ImageGuess> guess_images(const ImageModel& source, const LoadedModel& model, int threads,
                                     const std::function<void(int64_t)>& progress) {
  const Dataset& data = *source.data;
  const int64_t size = evaluation_batch(data), count = data.samples(Split::held_out);
  std::vector<ImageGuess> guesses(static_cast<size_t>(count));
  const auto act = [&](int64_t i) {
    const int64_t begin = i * size;
    const Batch batch = data.batch(Split::held_out, numbers_from(begin, std::min(count, begin + size)));
    const ForwardContext context{.batch = &batch, .training = false};
    const at::Tensor scores = model.readout->scores(model.body->forward(batch.inputs, context), context);
    require_finite(scores, *source.weights);
    const at::Tensor shares = at::softmax(scores.to(at::kDouble), 1).contiguous();
    const double* next = shares.const_data_ptr<double>();
    for (int64_t row = 0; row < shares.size(0); ++row, next += shares.size(1)) {
      const SamplePlace place = shuffled(source.settings.seed, Split::held_out, begin + row, count);
      ImageGuess& one = guesses[static_cast<size_t>(place.sample)];
      one.probabilities.assign(next, next + shares.size(1));
      one.truth = batch.targets.const_data_ptr<int64_t>()[row];
    }
  };
  for_each_batch((count + size - 1) / size, threads, act, progress);
  return guesses;
}

}  // namespace interlock
