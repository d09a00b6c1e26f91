#include "launch/stored_model/model_source.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include "launch/run/data_identity.h"
#include "launch/run/load_weights.h"
#include "launch/settings/parts.h"
#include "models/parameter_count.h"
#include "runtime/core/nearest_name.h"
#include "runtime/data/labelled/reads_tables.h"
#include "runtime/storage/checkpoint.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

// Where a tokenizer of these weights may lie, the likeliest first.
std::vector<std::string> tokenizer_places(const WeightsSet& weights, const RunSettings& settings) {
  const fs::path folder = weights.folder();
  std::vector<std::string> places{(folder / "tokenizer").string()};
  if (is_checkpoint(folder.string())) places.push_back((folder / "../../tokenizer").string());  // of its run
  // A folder of Hugging Face's holds the files themselves.
  std::error_code absent;
  for (const char* file : {"tokenizer.json", "vocab.json"})
    if (fs::exists(folder / file, absent)) places.push_back(folder.string());
  const std::string named = settings.config.section("tokenizer").text("path", "");
  if (!named.empty()) places.push_back(named);
  return places;
}

std::string find_tokenizer(const WeightsSet& weights, const RunSettings& settings) {
  const std::vector<std::string> places = tokenizer_places(weights, settings);
  std::error_code absent;
  const auto found =
      std::find_if(places.begin(), places.end(), [&](const std::string& place) { return fs::exists(place, absent); });
  if (found == places.end())
    throw Error(ExitCode::bad_input,
                message(weights.path(), ": the model reads tokens, but its tokenizer is not found; looked for ",
                        join(places), ". Put a copy of its folder into the first of these"));
  return *found;
}

void check_tokenizer(const TextModel& source) {
  const int64_t tokens = source.tokenizer->vocabulary();
  const auto& metadata = source.weights->metadata();
  const auto trained_with = metadata.find(tokenizer_metadata);
  const bool known = trained_with != metadata.end() && trained_with->second == source.tokenizer->fingerprint();
  // A model may have more rows than its tokenizer has tokens; of another tokenizer nobody knows that.
  if (known ? tokens > source.vocabulary : tokens != source.vocabulary)
    throw Error(ExitCode::bad_input,
                message(source.tokenizer_path, ": a tokenizer of another vocabulary than the model: it has ", tokens,
                        " tokens, the model of ", source.weights->path(), " has ", source.vocabulary));
  if (!known && trained_with != metadata.end())
    throw Error(ExitCode::bad_input, message(source.tokenizer_path, ": not the tokenizer that ", source.weights->path(),
                                             " was trained with: its tokens or merges differ (fingerprint ",
                                             source.tokenizer->fingerprint().substr(0, 12), ", the weights say ",
                                             trained_with->second.substr(0, 12), ")"));
}

// How many batches a norm has seen, of torch.nn.BatchNorm2d, which nothing here reads.
bool is_counter(const std::string& name) { return name.ends_with(".num_batches_tracked"); }

// Names in the weights that no part of the model asks for.
void check_unexpected(const Model& model, const WeightsSet& weights, const std::set<std::string>& parameters) {
  std::set<std::string> known = parameters;
  for (const auto& [alias, name] : model.aliases()) known.insert(alias);
  std::vector<std::string> unexpected;
  for (const TensorEntry& tensor : weights.tensors())
    if (!known.contains(tensor.name) && !tensor.name.starts_with("heads.") && !is_counter(tensor.name))
      unexpected.push_back(tensor.name);
  if (unexpected.empty()) return;
  throw Error(ExitCode::bad_input,
              message(weights.path(), ": tensors that the model of its config does not have: ", some_of(unexpected)));
}

// The data that the model was trained on, unopened: what its samples are made of, and what is predicted. No file is
// looked at, which may lie elsewhere by now.
std::shared_ptr<const Dataset> data_of(const RunSettings& settings) {
  const DatasetSettings parts{.data = settings.config.section("data"),
                              .objective = settings.config.section("objective"),
                              .tokenizer = settings.config.section("tokenizer"),
                              .training = false,
                              .looks_at_files = false};
  return Datasets::instance().create("dataset", settings.dataset_name, parts);
}

// What is wrong with the settings of weights is wrong with their file.
template <class Act>
auto blaming(const WeightsSet& weights, Act act) {
  try {
    return act();
  } catch (const Error& error) {
    throw Error(ExitCode::bad_input, message(weights.path(), ": in its metadata: ", error.what()));
  }
}

}  // namespace

RunSettings stored_settings(const WeightsSet& weights) {
  const auto config = weights.metadata().find("interlock.config");
  if (config == weights.metadata().end())
    throw Error(ExitCode::bad_input,
                message(weights.path(),
                        ": does not say which model it belongs to (no interlock.config in its "
                        "metadata); weights written by `interlock train` do, those of `interlock import`, "
                        "and the folder, not the file, of a Hugging Face model"));
  // The classes as the training files had them: those files are not asked again.
  std::vector<std::string> overrides;
  if (const auto labels = stored_labels(weights); !labels.empty())
    overrides.push_back("data.labels=" + labels_text(labels));
  return blaming(weights,
                 [&] { return read_settings(Config::from_text(config->second, overrides, "interlock.config")); });
}

TextModel open_text_model(const std::string& path, const std::string& command) {
  return open_text_model(WeightsSet::open(path), command);
}

TextModel open_text_model(const std::shared_ptr<const WeightsSet>& weights, const std::string& command) {
  TextModel source{.weights = weights,
                   .settings = stored_settings(*weights),
                   .tokenizer = nullptr,
                   .tokenizer_path = "",
                   .model = nullptr};
  const RunSettings& settings = source.settings;
  const auto data = blaming(*weights, [&] { return data_of(settings); });
  const SampleContent content = data->content();
  source.objective = data->objective();
  source.labels = data->labels();
  source.reads_tables = dynamic_cast<const ReadsTables*>(data.get()) != nullptr;
  if (source.objective == Objective::classification && content != SampleContent::numbers && source.labels.empty())
    throw Error(ExitCode::bad_input, message(weights->path(), ": does not say which classes it tells apart (no ",
                                             labels_metadata, " in its metadata)"));
  if (content == SampleContent::numbers)
    throw Error(ExitCode::config, message(command, " needs a model of text, these weights were trained on data \"",
                                          settings.dataset_name, "\""));
  source.model = blaming(*weights, [&] {
    const ModelSettings parts{.model = settings.config.section("model"),
                              .seed = settings.seed,
                              .classes = static_cast<int64_t>(source.labels.size()),
                              .precision = settings.precision,
                              .objective = source.objective};
    const std::shared_ptr<Model> model = Models::instance().create("model", settings.model_name, parts);
    for (const auto& technique : settings.techniques) technique->check(*model);
    return equipped(settings, model);
  });
  source.vocabulary = source.model->vocabulary();
  source.max_length = source.model->max_length();
  if (content == SampleContent::bytes) return source;
  source.tokenizer_path = find_tokenizer(*weights, settings);
  source.tokenizer = Tokenizer::open(source.tokenizer_path);
  check_tokenizer(source);
  return source;
}

void require_objective(const TextModel& source, const std::vector<Objective>& wanted, const std::string& command) {
  if (std::ranges::find(wanted, source.objective) != wanted.end()) return;
  struct Use {
    const char *does, *advice;
  };
  static const std::map<Objective, Use> uses = {
      {Objective::masked,
       {"guesses masked places", "`interlock fill` asks it, and `interlock finetune` teaches it labels"}},
      {Objective::causal, {"continues texts", "`interlock generate` asks it"}},
      {Objective::classification, {"tells classes of texts", "`interlock predict` asks it"}},
      {Objective::regression, {"gives texts scores", "`interlock predict` asks it"}}};
  const Use& use = uses.at(source.objective);
  throw Error(ExitCode::config,
              message(command, ": the model of ", source.weights->path(), " ", use.does, "; ", use.advice));
}

LoadedModel load_model(const TextModel& source) { return load_model(*source.model, *source.weights); }

void check_size(const Model& model, const WeightsSet& weights) {
  const int64_t needs = parameter_count(model);
  double holds = 0;
  for (const TensorEntry& tensor : weights.tensors())
    holds += std::accumulate(tensor.shape.begin(), tensor.shape.end(), 1.0, std::multiplies<>());
  // A model of half a GiB is made all the same: then the tensor of another shape is told by name.
  constexpr double little = 1 << 27;
  if (static_cast<double>(needs) <= std::max(holds, little)) return;
  throw Error(ExitCode::bad_input, message(weights.path(), ": its config asks for a model of ", needs,
                                           " parameters, and its ", weights.tensors().size(), " tensors hold ",
                                           static_cast<int64_t>(holds), " numbers: they do not belong together"));
}

LoadedModel load_model(const Model& model, const WeightsSet& weights) {
  check_size(model, weights);
  const int64_t layers = model.units();
  LoadedModel loaded{model.body(0, layers), model.readout(), layers};
  std::set<std::string> parameters;
  for (torch::nn::Module* part :
       {static_cast<torch::nn::Module*>(loaded.body.get()), static_cast<torch::nn::Module*>(loaded.readout.get())}) {
    load_weights(*part, weights, model.tie(), model.aliases());
    for (const auto& named : part->named_parameters()) parameters.insert(named.key());
    for (const auto& named : part->named_buffers()) parameters.insert(named.key());
  }
  check_unexpected(model, weights, parameters);
  return loaded;
}

}  // namespace interlock
