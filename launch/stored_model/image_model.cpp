#include "launch/stored_model/image_model.h"

#include "launch/settings/parts.h"
#include "launch/stored_model/model_source.h"
#include "runtime/core/nearest_name.h"
#include "runtime/core/printable.h"

namespace interlock {
namespace {

std::unique_ptr<Dataset> dataset_of(const RunSettings& settings, const Config& config, bool looks_at_files) {
  const DatasetSettings parts{.data = config.section("data"),
                              .objective = config.section("objective"),
                              .tokenizer = config.section("tokenizer"),
                              .seed = settings.seed,
                              .training = false,
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

}  // namespace

bool is_image_model(const std::string& path) {
  const RunSettings settings = stored_settings(*WeightsSet::open(path));
  return dataset_of(settings, settings.config, false)->image().numbers() > 0;
}

ImageModel open_image_model(const std::string& path, const std::vector<std::string>& files) {
  const auto weights = WeightsSet::open(path);
  const RunSettings settings = stored_settings(*weights);
  const auto asked = dataset_of(settings, settings.config, false);
  std::shared_ptr<Dataset> data = dataset_of(settings, with_files(settings, *asked, files), true);
  data->open();
  const std::shared_ptr<Model> model = make_model(settings, *data);
  return {weights, settings, model, data};
}

}  // namespace interlock
