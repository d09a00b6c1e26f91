#include "launch/finetune/finetune_config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <sstream>

#include "launch/run/data_identity.h"
#include "launch/run/start_techniques.h"
#include "launch/settings/parts.h"
#include "runtime/core/nearest_name.h"
#include "runtime/core/printable.h"
#include "runtime/storage/mapped_file.h"
#include "runtime/storage/sha256.h"
#include "runtime/storage/weights.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

// Configs name files so that they can be run from anywhere.
std::string absolute(const std::string& path) { return fs::absolute(path).lexically_normal().string(); }

std::string quoted(const std::string& text) { return toml_quoted(text, "the name"); }
std::string quoted(const std::vector<std::string>& paths) {
  std::vector<std::string> all;
  for (const std::string& path : paths) all.push_back(absolute(path));
  return toml_quoted(all, "the file");
}

// The keys of the stored model, but for what belongs to its pretraining, and for a second dropout that is the first: it
// follows model.dropout, to whatever that is set.
std::string model_section(const TextModel& source) {
  std::string text = "[model]\n";
  const auto values = source.settings.config.resolved_values();
  const auto dropout = values.find("model.dropout");
  for (const auto& [key, value] : values) {
    if (!key.starts_with("model.") || key == "model.tie_embeddings" || key == "model.frozen") continue;
    if (key == "model.attention_dropout" && dropout != values.end() && value == dropout->second) continue;
    text += key.substr(6) + " = " + value + "\n";
  }
  return text;
}

// What depends on how many samples there are.
struct Length {
  int64_t steps = 1, evaluate_every = 1, held_out = 1;
};

// A run ends when half of its evaluations, and at least six, have brought nothing better.
//
// The recipe of RoBERTa's paper (warm-up over 6 % of the steps, then linear decay; weight decay 0.1; 32 samples a
// step). Its rate of 2e-5 is for a width of 768; narrower models take more, in proportion.
std::string config_text(const FinetuneRequest& request, const TextModel& source, const std::string& metric,
                        const Length& length) {
  const auto width = static_cast<double>(source.settings.config.section("model").integer("width", 64));
  const int64_t samples = std::min<int64_t>(128, source.max_length);
  std::ostringstream text;
  text << model_section(source);
  if (!source.reads_bytes()) text << "\n[tokenizer]\npath = " << quoted(absolute(source.tokenizer_path)) << "\n";
  text << "\n[data]\nname = \"labelled\"\npaths = " << quoted(request.train)
       << "\nvalidation_paths = " << quoted(request.validation) << "\ntext = " << quoted(request.text)
       << "\npair = " << quoted(request.pair) << "\nlabel = " << quoted(request.label)
       << "\nsequence_length = " << samples << "\nheld_out = 0.1\n"
       << "\n[objective]\nname = " << quoted(name_of(request.objective)) << "\n"
       << "\n[learning]\nrule = \"global\"\n"
       << "\n[parallel]\nstages = 1\nranks = 1\nmicrobatches = 2\nmicrobatch_size = 16\n"
       << "\n[optimizer]\nname = \"adamw\"\nlearning_rate = " << 2e-5 * 768 / width
       << "\nwarmup_steps = " << (length.steps * 6 + 99) / 100
       << "\ndecay = \"linear\"\nbeta2 = 0.98\nepsilon = 1e-6\nweight_decay = 0.1\n"
       << "\n[checkpoint]\nevery = " << length.evaluate_every << "\nkeep = 1\n"
       << "\n[run]\nsteps = " << length.steps << "\nweights = " << quoted(absolute(request.path))
       << "\nfolder = " << quoted(absolute(request.to)) << "\nevaluate_every = " << length.evaluate_every
       << "\nevaluate_sequences = " << length.held_out << "\nkeep_best = " << quoted(metric)
       << "\npatience = " << std::max<int64_t>(6, length.steps / length.evaluate_every / 2) << "\n";
  return text.str();
}

// Of "section.key = value", with or without blanks.
std::string key_of(const std::string& override_text) {
  std::string key = override_text.substr(0, override_text.find('='));
  std::erase_if(key, [](char c) { return c == ' ' || c == '\t'; });
  return key;
}

// Of the tables and the weights, byte by byte: what lies at a path later may be something else.
std::string digest_of_inputs(const FinetuneRequest& request, const TextModel& source) {
  Sha256 digest;
  for (const auto* paths : {&request.train, &request.validation}) {
    digest.add(message(paths->size(), " files "));
    for (const std::string& path : *paths) {
      const MappedFile file(path);
      digest.add(message(file.bytes().size(), " bytes "));
      digest.add(file.bytes());
    }
  }
  digest.add(weights_digest(*source.weights));
  return digest.hex();
}

void refuse_own_keys(const std::vector<std::string>& overrides) {
  for (const char* own :
       {"run.seed", "run.folder", "run.weights", "run.keep_best", "data.paths", "data.validation_paths"})
    for (const std::string& override_text : overrides)
      if (key_of(override_text) == own)
        throw Error(ExitCode::usage, message("--set ", own, ": finetune itself sets this key (by --seeds, --to, PATH, ",
                                             "--metric, --train and --validation)"));
}

void check_metric(const FinetuneRequest& request) {
  const std::vector<std::string> scores = scores_of(request.objective);
  if (request.metric.empty() || std::ranges::find(scores, request.metric) != scores.end()) return;
  throw Error(ExitCode::usage, message("--metric ", request.metric, ": with --objective ", name_of(request.objective),
                                       " it is one of ", join(scores)));
}

RunSettings settings_of(const std::string& text, const std::vector<std::string>& overrides) {
  RunSettings settings = read_settings(Config::from_text(text, overrides));
  check_settings(settings);
  return settings;
}

Length length_of(const FinetuneRequest& request, const RunSettings& settings, const Dataset& dataset) {
  const int64_t samples = dataset.samples(Split::training), held_out = dataset.samples(Split::held_out);
  if (samples == 0) throw Error(ExitCode::bad_input, "--train: nothing is left to train on");
  if (held_out == 0)
    throw Error(ExitCode::bad_input, "--validation: there are no held-out rows, by which weights are chosen");
  const auto per_step = static_cast<double>(settings.parallel.batch_shape().samples_per_step());
  const double per_epoch = static_cast<double>(samples) / per_step;
  Length length;
  length.steps = std::max<int64_t>(1, static_cast<int64_t>(std::ceil(per_epoch * request.epochs)));
  // Twice an epoch, and at least ten times in all: the best of two evaluations would be no choice.
  const auto twice = static_cast<int64_t>(per_epoch / 2);
  length.evaluate_every = std::clamp<int64_t>(twice, 1, std::max<int64_t>(1, length.steps / 10));
  length.held_out = held_out;
  return length;
}

int64_t trained_numbers(const Model& model) {
  int64_t count = model.readout_costs(1).trained();
  for (const Costs& unit : model.unit_costs(1)) count += unit.trained();
  return count;
}

}  // namespace

namespace {

// What a model was trained to tell apart, where the tables hold the very same classes in another order: in the model's,
// so that its readout is taken over. Else none.
std::vector<std::string> classes_of_base(const TextModel& source, const Dataset& dataset) {
  const std::vector<std::string> stored = stored_labels(*source.weights), found = dataset.labels();
  std::vector<std::string> one = stored, other = found;
  std::ranges::sort(one);
  std::ranges::sort(other);
  return one == other && stored != found ? stored : std::vector<std::string>();
}

}  // namespace

FinetunePlan plan_finetuning(const FinetuneRequest& given) {
  FinetuneRequest request = given;
  refuse_own_keys(request.overrides);
  check_metric(request);
  const TextModel source = open_text_model(request.path, "finetune");
  FinetunePlan plan;
  plan.metric = !request.metric.empty()                      ? request.metric
                : request.objective == Objective::regression ? "spearman"
                                                             : "accuracy";
  RunSettings probe = settings_of(config_text(request, source, plan.metric, {}), request.overrides);
  std::shared_ptr<Dataset> dataset = make_dataset(probe);
  dataset->open();
  if (const auto classes = classes_of_base(source, *dataset);
      !classes.empty() && !probe.config.section("data").has("labels")) {
    request.overrides.push_back("data.labels=" + toml_quoted(classes, "a class"));
    probe = settings_of(config_text(request, source, plan.metric, {}), request.overrides);
    dataset = make_dataset(probe);
    dataset->open();
  }
  check_start_tokenizer(probe, *dataset, *source.weights);
  check_start_techniques(probe, *dataset, *source.weights);
  const Length length = length_of(request, probe, *dataset);
  const std::string text = config_text(request, source, plan.metric, length);
  const std::string mark = input_mark + digest_of_inputs(request, source) + "\n";
  for (int64_t seed = 1; seed <= request.seeds; ++seed) {
    const fs::path base = fs::path(absolute(request.to)) / message("seed-", seed);
    std::vector<std::string> overrides = request.overrides;
    overrides.push_back(message("run.seed=", seed));
    overrides.push_back("run.folder=" + quoted(base.string()));
    const RunSettings settings = settings_of(text, overrides);
    plan.runs.push_back({seed, base.string() + ".toml", mark + settings.config.resolved(), base.string()});
    plan.steps = settings.steps;
    plan.metric = settings.evaluation.keep_best;
  }
  plan.trained_parameters = trained_numbers(*make_model(probe, *dataset));
  plan.labels = dataset->labels();
  plan.training_samples = dataset->samples(Split::training);
  plan.held_out_samples = dataset->samples(Split::held_out);
  plan.notes = dataset->notes();
  return plan;
}

}  // namespace interlock
