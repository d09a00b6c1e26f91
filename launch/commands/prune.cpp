// `interlock prune`: a shallower model out of a trained one.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <thread>

#include "launch/command.h"
#include "launch/folders/output_apart.h"
#include "launch/folders/output_folder.h"
#include "launch/huggingface/huggingface.h"
#include "launch/run/data_identity.h"
#include "launch/stored_model/evaluation.h"
#include "launch/stored_model/predictions.h"
#include "launch/stored_model/pruning.h"
#include "launch/terminal/amount_progress.h"
#include "launch/terminal/interruption.h"
#include "launch/terminal/number_option.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

std::string words_of(const KeptLayers& layers) {
  std::vector<std::string> words;
  for (const int64_t layer : layers) words.push_back(std::to_string(layer));
  return join(words);
}

class Prune final : public Command {
 public:
  std::string summary() const override { return "cut a shallower model out of a trained one"; }
  void declare(CLI::App& app) override {
    app.add_option("path", path_, "a run folder, checkpoint, weights file or imported model")->required();
    auto* keep = app.add_option("--keep", keep_, "the layers that stay, from 0 on: 0,2,4");
    auto* layers = app.add_option("--layers", wanted_, "how many layers stay; --strategy says which")
                       ->transform(whole_number(1, 1 << 20))
                       ->excludes(keep);
    app.add_option(
           "--strategy", strategy_,
           "every_other: evenly spread, from layer 0 on | last: without the last | search: takes away, one after "
           "another, the layer without which the loss on --data is lowest")
        ->check(CLI::IsMember({"every_other", "last", "search"}))
        ->needs(layers);
    app.add_option("--data", data_, "held-out texts or token files, of a model of labels tables, for --strategy search")
        ->type_name("PATH");
    app.add_option("--sequences", sequences_, "that search looks at, of texts in --data; 256 by default")
        ->transform(whole_number(1));
    app.add_option("--to", to_, "the folder to make")->type_name("DIR")->required();
    app.add_flag("--overwrite", overwrite_, "replace the folder of an earlier prune");
    app.callback([this, keep, layers] {
      if (keep->empty() && layers->empty()) throw CLI::RequiredError("--keep or --layers");
      if ((strategy_ == "search") == data_.empty())
        throw CLI::ValidationError("--strategy search and --data FILE belong together");
    });
  }

  int run() override {
    refuse_over_sources("--to", to_, {path_});
    const TextModel source = open_text_model(path_, "prune");
    const int64_t layers = source.model->units();
    if (wanted_ > layers)
      throw Error(ExitCode::config, message("--layers ", wanted_, ": the model of ", source.weights->path(),
                                            " has no more than ", layers, " layers"));
    refuse_insertions(source);
    check_size(*source.model, *source.weights);
    const Interruption interruption;
    try {
      const KeptLayers kept = choose(source, layers, interruption);
      Pruning pruning = prune_tensors(*source.weights, kept, layers);
      std::erase_if(pruning.tensors, [&](const auto& pair) { return source.model->is_inserted(pair.second); });
      tell(write(source, kept, pruning, interruption), kept, layers, pruning);
    } catch (const Interrupted& interrupted) {
      end_by(interrupted);
    }
    return static_cast<int>(ExitCode::done);
  }

 private:
  // What training started from (mixout) can be left behind, what the model computes with cannot.
  static void refuse_insertions(const TextModel& source) {
    for (const TensorEntry& tensor : source.weights->tensors())
      if (source.model->is_inserted(tensor.name) && tensor.name.find(".mixout.") == std::string::npos)
        throw Error(ExitCode::config,
                    message(source.weights->path(), ": ", tensor.name, " was added to the model by a ",
                            "technique; prune the model first and train the addition on the pruned one"));
  }

  KeptLayers choose(const TextModel& source, int64_t layers, const Interruption& interruption) const {
    if (wanted_ == 0) return read_kept_layers(keep_, layers);
    if (strategy_ == "every_other") return every_other(layers, wanted_);
    if (strategy_ == "last") return without_the_last(wanted_);
    const LoadedModel model = load_model(source);
    const auto loss =
        predicts_tokens(source.objective) ? loss_of_text(source, model, interruption) : loss_of_labels(source, model);
    AmountProgress bar("search", (layers * (layers + 1) - wanted_ * (wanted_ + 1)) / 2, false);
    int64_t evaluated = 0;
    const KeptLayers kept = search_layers(layers, wanted_, [&](const KeptLayers& some) {
      interruption.check();
      const double found = loss(some);
      bar.show(++evaluated);
      return found;
    });
    bar.finish();
    std::cout << "Loss on --data: " << loss(without_the_last(layers)) << " with all layers, " << loss(kept) << " with "
              << words_of(kept) << "\n";
    return kept;
  }

  static int threads() { return static_cast<int>(std::max(1U, std::thread::hardware_concurrency())); }

  // Per target, of so many layers of the model.
  using Loss = std::function<double(const KeptLayers&)>;
  Loss loss_of_text(const TextModel& source, const LoadedModel& model, const Interruption& interruption) const {
    const std::shared_ptr<const Dataset> data = evaluation_data(source, data_, 1, [&] { interruption.check(); });
    const int64_t count = std::min(data->samples(Split::held_out), sequences_.value_or(256));
    return [model, data, count](const KeptLayers& kept) {
      BatchResult sum;
      for (const BatchResult& result :
           evaluate_batches(with_layers(model, kept), *data, count, 0, 1, threads(), [](int64_t) {}))
        sum.loss += result.loss, sum.targets += result.targets;
      if (sum.targets == 0) throw Error(ExitCode::bad_input, "--data: nothing to predict in it");
      return sum.loss / static_cast<double>(sum.targets);
    };
  }
  Loss loss_of_labels(const TextModel& source, const LoadedModel& model) const {
    if (sequences_)
      throw Error(ExitCode::usage,
                  "--sequences counts sequences of a text; of a table all rows are looked at: give it fewer of them");
    const auto texts = open_texts(source, data_, {}, true);
    return [&source, model, texts](const KeptLayers& kept) {
      const auto rows = predict(source, with_layers(model, kept), *texts, {.threads = threads()}, [](int64_t) {});
      double sum = 0;
      for (const Prediction& row : rows) sum += row.loss;
      return sum / static_cast<double>(rows.size());
    };
  }

  // Returns the folder's path.
  std::string write(const TextModel& source, const KeptLayers& kept, const Pruning& pruning,
                    const Interruption& interruption) const {
    std::map<std::string, std::string> metadata = source.weights->metadata();
    metadata["interlock.config"] = pruned_config(*source.weights, kept);
    for (const char* of_its_run : {step_metadata, base_state, base_digest_state}) metadata.erase(of_its_run);
    OutputFolder folder(to_, overwrite_, {"weights.safetensors", "tokenizer"});
    copy_tensors(*source.weights, pruning.tensors, folder.file("weights.safetensors"), metadata,
                 [&] { interruption.check(); });
    if (source.tokenizer) source.tokenizer->save(folder.file("tokenizer"));
    folder.commit();
    return folder.path();
  }

  static void tell(const std::string& made, const KeptLayers& kept, int64_t layers, const Pruning& pruning) {
    std::cout << "Wrote " << made << ": layers " << words_of(kept) << " of " << layers << " as 0 to " << kept.size() - 1
              << ", " << pruning.tensors.size() << " tensors\n";
    if (!pruning.left_out_heads.empty())
      std::cout << "Left out: " << join(pruning.left_out_heads)
                << ", local heads that stood above a layer that is gone, or above the new last one\n";
    std::cout << "Train on with model.layers=" << kept.size() << " and run.weights=\"" << made << "\"\n";
  }

  std::string path_, keep_, to_, strategy_ = "every_other";
  std::vector<std::string> data_;
  int64_t wanted_ = 0;
  std::optional<int64_t> sequences_;
  bool overwrite_ = false;
};

const Registration<Command> registered("prune", [] { return std::make_unique<Prune>(); });

}  // namespace
}  // namespace interlock
