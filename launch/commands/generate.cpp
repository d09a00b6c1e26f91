// `interlock generate`: continues a text with a trained model.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "launch/command.h"
#include "launch/stored_model/exits.h"
#include "launch/stored_model/generation.h"
#include "launch/terminal/amount_progress.h"
#include "launch/terminal/number_option.h"
#include "runtime/core/nearest_name.h"
#include "runtime/core/printable.h"
#include "runtime/core/readable_file.h"

namespace interlock {
namespace {

using nlohmann::ordered_json;

constexpr uint64_t most_prompts_bytes = uint64_t{64} << 20;

// One prompt a line, whichever way lines end.
std::vector<std::string> read_prompts(const std::string& path) {
  std::string problem;
  const auto content = read_regular_file(path, most_prompts_bytes, problem);
  if (!content) throw Error(ExitCode::bad_input, message("--prompts: cannot read ", path, ": ", problem));
  std::istringstream lines(*content);
  std::vector<std::string> prompts;
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    prompts.push_back(line);
  }
  if (prompts.empty()) throw Error(ExitCode::bad_input, message("--prompts: ", path, " holds no line"));
  return prompts;
}

class Generate final : public Command {
 public:
  std::string summary() const override { return "continue a text with a trained model"; }
  void declare(CLI::App& app) override {
    app.add_option("path", path_, "a run folder, checkpoint, weights file or imported model")->required();
    auto* prompt = app.add_option("prompt", prompt_, "the text to continue; \"\" begins a document");
    app.add_option("--prompts", prompts_, "a file with a prompt on each line, in place of one")
        ->type_name("FILE")
        ->excludes(prompt);
    app.add_option("--tokens", sampling_.tokens, "new tokens at most")->transform(whole_number(1));
    app.add_option("--temperature", sampling_.temperature, "below 1 likelier, 0 always the likeliest token")
        ->check(number_between(0, 100));
    app.add_option("--top-k", sampling_.top_k, "draw from so many of the likeliest tokens; 0 from all")
        ->transform(whole_number(0));
    app.add_option("--top-p", sampling_.top_p, "draw from the likeliest that together have this probability")
        ->check(number_between(1e-9, 1));
    app.add_option("--seed", sampling_.seed, "of the draws")->transform(whole_number(0));
    app.add_option("--exit", exit_, "read the model above so many layers, through the local head there")
        ->transform(whole_number(1));
    app.add_flag("--json", json_, "end with one JSON object on stdout");
  }

  int run() override {
    const TextModel source = open_text_model(path_, "generate");
    require_objective(source, {Objective::causal}, "generate");
    if (prompts_.empty() && !prompt_) throw Error(ExitCode::usage, "generate: give a prompt, or a file with --prompts");
    const auto prompts = prompts_.empty() ? std::vector<std::string>{*prompt_} : read_prompts(prompts_);
    const LoadedModel model = choose(source, load_model(source));
    std::optional<AmountProgress> bar;
    const auto found = continue_texts(source, model, prompts, sampling_, [&](int64_t done, int64_t all) {
      if (!bar) bar.emplace("generate", all, false);
      bar->show(done);
    });
    bar.reset();
    tell(source, found);
    return static_cast<int>(ExitCode::done);
  }

 private:
  LoadedModel choose(const TextModel& source, const LoadedModel& whole) const {
    if (!exit_) return whole;
    std::vector<std::string> known;
    for (const Exit& exit : load_exits(source, whole)) {
      if (exit.layers == *exit_) return exit.model;
      known.push_back(std::to_string(exit.layers));
    }
    const std::string inside = passed_over(*source.weights);
    throw Error(ExitCode::config,
                message("--exit ", *exit_, ": ", source.weights->path(),
                        " can be read above this many layers: ", join(known), inside.empty() ? "" : "; " + inside));
  }

  void tell(const TextModel& source, const std::vector<Continuation>& found) const {
    ordered_json all = ordered_json::array();
    for (const Continuation& one : found) {
      (json_ ? std::cerr << printable_lines(one.text) : std::cout << one.text) << "\n";
      all.push_back(
          {{"text", one.text}, {"tokens", one.tokens}, {"prompt_tokens", one.of_prompt}, {"ended", one.ended}});
    }
    const bool full = std::ranges::any_of(
        found, [&](const Continuation& one) { return !one.ended && std::ssize(one.tokens) == source.max_length; });
    if (full) std::cerr << "The model reads at most " << source.max_length << " tokens: what is that long ends there\n";
    if (!json_) return;
    const ordered_json result = prompts_.empty() ? all.front() : ordered_json{{"continuations", all}};
    // Tokens may end inside of a character.
    std::cout << result.dump(-1, ' ', false, ordered_json::error_handler_t::replace) << std::endl;
  }

  std::string path_, prompts_;
  std::optional<std::string> prompt_;
  std::optional<int64_t> exit_;
  Sampling sampling_;
  bool json_ = false;
};

const Registration<Command> registered("generate", [] { return std::make_unique<Generate>(); });

}  // namespace
}  // namespace interlock
