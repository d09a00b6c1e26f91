// `interlock finetune`: teaches a pretrained model the labels of a table, over several seeds.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "launch/command.h"
#include "launch/finetune/finetune_report.h"
#include "launch/finetune/finetune_runs.h"
#include "launch/finetune/technique_words.h"
#include "launch/supervisor/stop_request.h"
#include "launch/terminal/json_line.h"
#include "launch/terminal/number_option.h"
#include "parallel/transport/launch_place.h"
#include "runtime/core/log.h"
#include "runtime/core/printable.h"
#include "runtime/storage/atomic_file.h"

namespace interlock {
namespace {

class Finetune final : public Command {
 public:
  std::string summary() const override { return "teach a trained model the labels of a table, over several seeds"; }
  void declare(CLI::App& app) override {
    app.add_option("path", request_.path, "a run folder, checkpoint, weights file or imported model")->required();
    app.add_option("--train", request_.train, "tables to train on (.tsv, .csv, .jsonl)")->type_name("FILE")->required();
    app.add_option("--validation", request_.validation, "tables to choose weights by; none: a tenth of --train")
        ->type_name("FILE");
    app.add_option("--text", request_.text, "the column of the texts, by name or by number from 0");
    app.add_option("--pair", request_.pair, "the column of second texts");
    app.add_option("--label", request_.label, "the column of the labels");
    app.add_option("--objective", objective_, "what labels are: classification (classes) or regression (scores)")
        ->check(CLI::IsMember({"classification", "regression"}));
    app.add_option("--metric", request_.metric,
                   "the score that chooses weights: accuracy, f1, matthews, loss; spearman")
        ->check(CLI::IsMember({"accuracy", "f1", "matthews", "loss", "spearman", "pearson", "squared_error"}));
    app.add_option("--seeds", request_.seeds, "so many runs, with seeds 1, 2, ...")->transform(whole_number(1, 1000));
    app.add_option("--epochs", request_.epochs, "how often each sample is seen at most")->check(number_between(1e-6));
    std::string names;
    for (const std::string& name : Techniques::instance().names()) names += (names.empty() ? "" : ",") + name;
    app.add_option(
           "--technique", techniques_,
           "NAME:OPTION=VALUE,... as in adapters:size=64, or lora:rank=4,targets=[\"query\"]; several behind one "
           "another")
        ->type_name("NAME:{" + names + "}");
    app.add_option("--set", request_.overrides, "override a key of the configs: section.key=value")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    app.add_option("--to", request_.to, "the folder of configs, runs and result.json")->type_name("DIR")->required();
    app.add_flag("--overwrite", overwrite_, "replace an earlier fine-tuning in that folder");
    app.add_flag("--json", json_, "end with one JSON object on stdout");
  }
  bool takes_stop_requests() const override { return true; }
  int run() override;

 private:
  // Exit code of the first run that did not end well; 0: all are done.
  int perform(const FinetunePlan& plan) const;
  void tell(const FinetunePlan& plan) const;

  FinetuneRequest request_;
  std::string objective_ = "classification";
  std::vector<std::string> techniques_;
  bool overwrite_ = false, json_ = false;
};

void introduce(const FinetunePlan& plan) {
  for (const std::string& note : plan.notes) log_info(note);
  log_info(message(plan.training_samples, " samples to train on, ", plan.held_out_samples, " to choose by; ",
                   plan.runs.size(), plan.runs.size() == 1 ? " run" : " runs", " of at most ", plan.steps, " steps, ",
                   plan.trained_parameters, " numbers trained"));
  if (plan.labels.size() == 2)
    log_info(message("f1 is that of the class ", printable(plan.labels[1]), ", the second of data.labels"));
}

int Finetune::perform(const FinetunePlan& plan) const {
  for (const FinetunePlan::Run& run : plan.runs) {
    if (finished_result(run)) {
      log_info(message("seed ", run.seed, " is done already"));
      continue;
    }
    log_info(message("seed ", run.seed, " of ", plan.runs.size(), ": interlock train ", run.config_file));
    const int code = train_in_child(run);
    if (code == static_cast<int>(ExitCode::stopped) || code > 128)
      log_info("stopped; the same command goes on from there");
    if (code != 0) return code;
    if (!finished_result(run))
      throw Error(ExitCode::gave_up, message(run.folder, ": the run has ended without a result"));
  }
  return 0;
}

void Finetune::tell(const FinetunePlan& plan) const {
  std::vector<SeedResult> seeds;
  for (const FinetunePlan::Run& run : plan.runs) seeds.push_back(seed_result(run, *finished_result(run)));
  const auto result = report_json(plan, seeds);
  write_atomically((std::filesystem::path(request_.to) / "result.json").string(), result.dump(2) + "\n");
  (json_ ? std::cerr : std::cout) << report_text(plan, seeds) << std::flush;
  if (json_) std::cout << json_line(result) << std::flush;
}

int Finetune::run() {
  if (launch_place().size > 1)
    throw Error(ExitCode::usage,
                "finetune is started once, without mpirun or srun: each of its runs starts the ranks "
                "that parallel.ranks says");
  watch_for_stop_request();
  if (objective_ == "regression") request_.objective = Objective::regression;
  const auto sets_techniques = [](const std::string& one) {
    return one.starts_with("technique=") || one.starts_with("technique[");
  };
  if (!techniques_.empty() && std::ranges::any_of(request_.overrides, sets_techniques))
    throw Error(ExitCode::usage,
                "--technique and --set technique=... would replace each other: name all of them by one");
  if (!techniques_.empty()) request_.overrides.push_back(technique_override(techniques_));
  const FinetunePlan plan = plan_finetuning(request_);
  write_configs(plan, request_, overwrite_);
  introduce(plan);
  const int code = perform(plan);
  if (code == 0) tell(plan);
  return code;
}

const Registration<Command> registered("finetune", [] { return std::make_unique<Finetune>(); });

}  // namespace
}  // namespace interlock
