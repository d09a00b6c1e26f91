// `interlock compare`: learning rules on one config, as ordinary runs with several seeds, and a report of them.

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "launch/command.h"
#include "launch/comparison/answer.h"
#include "launch/comparison/comparison.h"
#include "launch/comparison/report_json.h"
#include "launch/comparison/report_page.h"
#include "launch/terminal/interruption.h"
#include "launch/terminal/number_option.h"
#include "parallel/transport/launch_place.h"
#include "runtime/core/log.h"
#include "runtime/storage/atomic_file.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

constexpr int most_seeds = 20;  // the exact test goes over all 2^n signs

class Compare final : public Command {
 public:
  std::string summary() const override {
    return "train one config under several learning rules and report what came out";
  }
  void declare(CLI::App& app) override {
    app.add_option("config", config_, "what all arms begin from, as a TOML file")->required();
    app.add_option("--rules", rules_, "local, furthest:N, sum:N, chunked:N, deep_supervision:WEIGHT, global; by commas")
        ->required()
        ->type_name("RULE,...");
    app.add_option("--heads", heads_, "kinds of local heads, by commas; the config's by default")
        ->type_name("HEAD,...");
    app.add_option("--stages", stages_, "numbers of stages, by commas; the config's by default")->type_name("N,...");
    app.add_option("--seeds", seeds_, "seeds of every arm")
        ->transform(whole_number(1, most_seeds))
        ->capture_default_str();
    app.add_option("--steps", steps_, "instead of run.steps")->transform(whole_number(1, int64_t{1} << 40));
    app.add_option("--tune", tune_,
                   "learning rates tried for every rule, around the config's by factors of 2; 1: as given")
        ->transform(whole_number(1, 20))
        ->capture_default_str();
    app.add_option("--links", links_,
                   "also: a few steps of each rule with links of so many bytes per second, by a delay put into the "
                   "transport; by commas")
        ->type_name("BYTES,...");
    app.add_option(
           "--microbatches", microbatches_,
           "also: a few steps of each rule with so many microbatches, to see from how many on global learning is "
           "as fast; by commas")
        ->type_name("N,...");
    app.add_option("--test-sequences", test_sequences_, "samples of the test split that are scored, at most")
        ->transform(whole_number(1))
        ->capture_default_str();
    app.add_option("--set", overrides_, "override a key of the config: section.key=value")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    app.add_option("--output", output_, "folder of the arms and the report; runs/compare-CONFIG by default")
        ->type_name("DIR");
    app.add_option("--at-once", at_once_,
                   "arms that run at a time, where cores or GPUs have room for several, shared out over the GPUs; runs "
                   "that measure costs always run alone")
        ->transform(whole_number(1, 256))
        ->capture_default_str();
    app.add_flag("--controls", controls_,
                 "also: the lower half frozen, heads that teach nobody, chunked:2, deep_supervision:0.3");
    app.add_flag("--diagnostics", diagnostics_, "also: the cosine of each stage's gradient with the global one");
    app.add_flag("--dry-run", dry_run_, "list the arms with what they cost, and end");
  }
  int run() override;

 private:
  std::string command() const;

  std::string config_, rules_, heads_, stages_, links_, microbatches_, output_;
  std::vector<std::string> overrides_;
  int seeds_ = 5, tune_ = 6, at_once_ = 1;
  int64_t steps_ = 0, test_sequences_ = 4096;
  bool dry_run_ = false, controls_ = false, diagnostics_ = false;
};

std::string quoted(const std::string& word) {
  const bool plain = word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,=") ==
                     std::string::npos;
  return plain ? word : "'" + word + "'";
}

std::string Compare::command() const {
  std::string text = "interlock compare " + quoted(config_) + " --rules " + rules_;
  if (!heads_.empty()) text += " --heads " + heads_;
  if (!stages_.empty()) text += " --stages " + stages_;
  text += message(" --seeds ", seeds_, " --tune ", tune_);
  if (steps_ > 0) text += message(" --steps ", steps_);
  if (!links_.empty()) text += " --links " + links_;
  if (!microbatches_.empty()) text += " --microbatches " + microbatches_;
  if (at_once_ > 1) text += message(" --at-once ", at_once_);
  if (controls_) text += " --controls";
  if (diagnostics_) text += " --diagnostics";
  for (const std::string& one : overrides_) text += " --set " + quoted(one);
  return text + " --output " + quoted(output_);
}

int Compare::run() {
  start_log(-1);
  if (launch_place().size > 1)
    throw Error(ExitCode::usage,
                "compare starts its own runs, each with its own ranks: start it alone, without mpirun or srun");
  if (output_.empty()) output_ = (fs::path("runs") / ("compare-" + fs::path(config_).stem().string())).string();
  ComparisonRequest request{
      .config = config_,
      .overrides = overrides_,
      .rules = parse_rules(rules_),
      .heads = heads_.empty() ? std::vector<std::string>() : parse_words(heads_, "--heads"),
      .stages = stages_.empty() ? std::vector<int>() : parse_numbers(stages_, "--stages"),
      .seeds = seeds_,
      .tune = tune_,
      .steps = steps_,
      .output = output_,
      .test_sequences = test_sequences_,
      .controls = controls_,
      .diagnostics = diagnostics_,
      .at_once = at_once_,
      .links = links_.empty() ? std::vector<double>() : parse_speeds(links_, "--links"),
      .microbatches = microbatches_.empty() ? std::vector<int>() : parse_numbers(microbatches_, "--microbatches"),
      .command = command()};
  Comparison comparison(std::move(request));
  if (dry_run_) {
    comparison.list(std::cout);
    return static_cast<int>(ExitCode::done);
  }
  if (seeds_ == 1) log_warning("one seed: the report can give neither intervals nor tests");
  if (seeds_ == 2)
    log_warning("two seeds: intervals and tests rest on one degree of freedom; three or more tell more than luck");
  const Outcome outcome = [&] {
    try {
      return comparison.perform();
    } catch (const Interrupted& interrupted) {
      log_info("interrupted; what is done is kept, and the same command goes on from here");
      flush_log();
      end_by(interrupted);
    }
  }();
  const auto file = [&](const char* name) { return (fs::path(output_) / name).string(); };
  write_atomically(file("report.json"),
                   report_json(outcome).dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  write_atomically(file("report.md"), report_markdown(outcome));
  write_atomically(file("report.html"), report_html(outcome));
  for (const std::string& sentence : answer_of(outcome)) std::cout << sentence << "\n";
  std::cout << "Report   " << file("report.html") << " (report.md and report.json beside it)\n" << std::flush;
  if (!outcome.any_done())
    throw Error(ExitCode::gave_up, message("no arm of the comparison could be done; the last one: ",
                                           outcome.last_reason(), ". What each said lies in ", output_, "/arms/*.log"));
  return static_cast<int>(ExitCode::done);
}

const Registration<Command> registered("compare", [] { return std::make_unique<Compare>(); });

}  // namespace
}  // namespace interlock
