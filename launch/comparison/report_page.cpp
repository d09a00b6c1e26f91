#include "launch/comparison/report_page.h"

#include <algorithm>
#include <functional>

#include "launch/comparison/answer.h"
#include "launch/comparison/pictures.h"
#include "launch/comparison/tables.h"
#include "launch/page/markup.h"
#include "launch/page/page.h"
#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

constexpr const char* title = "Learning rules compared";

std::vector<std::string> method_of(const Outcome& outcome) {
  std::vector<std::string> seeds, rates;
  for (const uint64_t seed : outcome.seeds) seeds.push_back(std::to_string(seed));
  for (const double rate : outcome.grid) rates.push_back(significant(rate));
  std::vector<std::string> all{
      message("Config: ", outcome.config_file, ". ", outcome.steps, " steps of ", outcome.samples_per_step,
              " samples (", outcome.tokens_per_step, " tokens, padding included). Seeds: ", join(seeds),
              ". Arms of one seed share start values, samples, their order and the cut (digests below); what differs "
              "is the "
              "rule, its heads and its learning rate, and the microbatches of global."),
      outcome.tune > 1
          ? message("Learning rates: each rule and head had the same ", outcome.tune, " trials (", join(rates),
                    "), all of ", outcome.steps, " steps with seed ", outcome.tuning_seed,
                    ", which is not among those compared; the lowest final validation loss was taken.")
          : message("Learning rates were not tuned: every arm has ", significant(outcome.given_rate), " as given."),
      message("Validation: ", outcome.validation_sequences,
              " held-out samples at most, for curves and the choice of rates. Test: ", outcome.test_words,
              "; no training and no choice saw it, and each arm was scored on it once, at its end."),
      "Global learning had its microbatches (half to four times as many, of the same batch), recomputation and "
      "schedule chosen "
      "for the shortest simulated step within the memory that the hungriest other rule plans.",
      "Intervals of means: bootstrap over seeds, bias-corrected and accelerated (Efron 1987), 20000 keyed draws. "
      "Differences to "
      "global are paired by seed: interval and p by Student's t with n - 1 degrees of freedom, corrected for the "
      "number of "
      "rules (those that are global by construction apart, and controls among themselves) by Holm's procedure; below "
      "0.05 a difference is called beyond noise, else within it. report.json has the "
      "exact "
      "sign-flip p-values too, which with n seeds are at least 2 / 2^n.",
      "Operations: multiplications and additions of the model's products by its own counts: forward, heads, every "
      "gradient stream "
      "handed on, weight gradients, recomputation; optimizer and norms are not counted.",
      "Times are of two kinds, never mixed. Measured: by the clock of this machine, evaluation and checkpoints apart. "
      "Simulated: "
      "every stage's costs measured in a short run on one rank, where nothing disturbs them, and the step put together "
      "from them "
      "for one core or GPU per rank, times what that run's steps took beyond its own simulation; messages at 5 GB/s.",
      message("Machine: ", outcome.processor, ", ", outcome.cores, " cores, host ", outcome.host,
              outcome.device.empty() ? "" : ", computed on " + outcome.device, ", load ",
              significant(outcome.load_before), " before the first arm. Interlock ", outcome.version, ", LibTorch ",
              outcome.libtorch, ". Began ", outcome.began, ", ended ", outcome.ended,
              " (arms that were done before began earlier: each folder's manifest.json says when)."),
      message("Every arm is a run folder in ", outcome.folder,
              "/arms; `interlock train ARM/config.toml --set run.folder=NEW` "
              "gives the same weights, to the bit."),
  };
  for (const auto& [key, parts] : outcome.shared) {
    all.push_back(message("The network has ", parts.parameters,
                          " parameters without local heads; the trained network that is tested is the same for "
                          "every rule; a local_deeper:N has N layers, another network."));
    break;
  }
  return all;
}

std::string for_each_cut(const Outcome& outcome, const std::function<std::string(int)>& part) {
  std::string out;
  const std::vector<int> counts = outcome.stage_counts();
  for (const int stages : counts) {
    const std::string one = part(stages);
    if (one.empty()) continue;
    if (counts.size() > 1) out += message("<h3>", stages, " stages</h3>\n");
    out += one;
  }
  return out;
}

std::string budgets_section(const Outcome& outcome) {
  const Table memory = memory_table(outcome);
  return html_of(frames_table(outcome)) + (memory.rows.empty() ? "" : html_of(memory)) +
         html_of(targets_table(outcome)) +
         "<p class=\"note\">Losses between two evaluations are taken on the straight line between them.</p>\n";
}

std::string choices_section(const Outcome& outcome) {
  std::string out;
  if (outcome.tune > 1) out += html_of(search_table(outcome));
  std::vector<std::string> settings;
  for (const GroupOutcome& group : outcome.groups)
    settings.push_back(message(group.group.label(), ", ", group.group.stages, " stages: ", group.settings_words,
                               ", learning rate ", significant(group.learning_rate),
                               group.at_edge ? " (at the edge of the grid: a wider one may do better)" : ""));
  for (const GroupOutcome& group : outcome.groups)
    if (!group.ways_tried.empty())
      settings.push_back(
          message("ways of global at ", group.group.stages,
                  " stages, each replayed from the costs of one short run; a later one is taken where it "
                  "is 5 % faster: ",
                  join(group.ways_tried, "; ")));
  return out + list_of(settings);
}

std::string break_even_section(const Outcome& outcome) {
  const Table table = break_even_table(outcome);
  std::string out = table.rows.empty() ? "" : html_of(table);
  return out + for_each_cut(outcome, [&](int stages) { return sweeps(outcome, stages); });
}

void add(std::vector<PageSection>& sections, const std::string& heading, std::string body) {
  if (!body.empty()) sections.push_back({heading, std::move(body)});
}

}  // namespace

std::vector<std::string> not_shown(const Outcome& outcome) {
  std::vector<std::string> all = outcome.notes;
  if (outcome.seeds.size() == 1)
    all.push_back("One seed: there is no interval and no test, and any difference may be chance.");
  else if (outcome.seeds.size() < 5)
    all.push_back(
        message(outcome.seeds.size(), " seeds: intervals are rough, and the bootstrap's are narrower than they say."));
  if (outcome.tune < 2)
    all.push_back("Learning rates were not tuned, which favours the rule that the given rate suits.");
  if (std::ranges::any_of(outcome.groups, &GroupOutcome::at_edge))
    all.push_back(
        "A rate at the edge of the grid was the best for at least one rule: a wider grid may do better there.");
  if (outcome.oversubscribed())
    all.push_back(message("More ranks than the ", outcome.cores,
                          " cores: measured times, idle shares and tokens per second say how "
                          "ranks shared cores here, not what a machine with a core for each would show. The simulated "
                          "ones are for that."));
  for (const int stages : outcome.stage_counts())
    if (outcome.global_at(stages) == nullptr)
      all.push_back(message("Global learning was not among the rules at ", stages,
                            " stages: there is nothing to test the others against."));
  for (const GroupOutcome& group : outcome.groups)
    for (const ArmOutcome& arm : group.arms)
      if (arm.status != ArmStatus::done)
        all.push_back(message(group.group.label(), ", ", group.group.stages, " stages, seed ", arm.arm.seed, " ",
                              text_of(arm.status), ": ", arm.reason));
  for (const GroupOutcome& group : outcome.groups)
    if (!group.cost)
      all.push_back(
          message(group.group.label(), ", ", group.group.stages, " stages: no simulated time; ", group.no_cost, "."));
  all.push_back(
      "The other rules ran with the microbatches of the config; with fewer they wait less beside global, with more "
      "they lose that lead.");
  all.push_back(
      "Final losses are those of a training of this length; which rule is ahead may change with a longer one, another "
      "model or other data.");
  all.push_back("Samples of one document may lie in both halves of the held-out part; the halves share no sample.");
  return all;
}

std::string report_html(const Outcome& outcome) {
  std::string lead = "<p>" + escaped(question_of(outcome)) + "</p>\n";
  for (const std::string& sentence : answer_of(outcome)) lead += "<p class=\"answer\">" + escaped(sentence) + "</p>\n";
  for (const int stages : outcome.stage_counts())
    lead += html_of(rules_table(outcome, stages)) + html_of(costs_table(outcome, stages));
  lead +=
      "<p class=\"note\">Simulated: one core or GPU for every rank, from measured costs. Measured: on this machine. "
      "Nats per "
      "target; lower is better.</p>\n";
  std::vector<PageSection> sections;
  add(sections, "Learning curves",
      for_each_cut(outcome, [&](int stages) { return learning_curves(outcome, stages); }) +
          "<p class=\"note\">Means over seeds; bands reach from the lowest to the highest seed.</p>\n");
  add(sections, "Quality and cost",
      for_each_cut(outcome, [&](int stages) { return quality_and_cost(outcome, stages); }));
  add(sections, "Equal budgets", budgets_section(outcome));
  add(sections, "One step", for_each_cut(outcome, [&](int stages) { return steps_in_time(outcome, stages); }));
  add(sections, "Every head", for_each_cut(outcome, [&](int stages) { return exits_of(outcome, stages); }));
  add(sections, "Stages", over_stages(outcome));
  add(sections, "Break-even and links", break_even_section(outcome));
  add(sections, "Choices", choices_section(outcome));
  add(sections, "Arms", html_of(arms_table(outcome)));
  add(sections, "Method",
      list_of(method_of(outcome)) + html_of(shared_table(outcome)) + "<p>Made by: <code>" + escaped(outcome.command) +
          "</code></p>\n");
  add(sections, "What is not shown", list_of(not_shown(outcome)));
  return page_of(title, lead, sections);
}

std::string report_markdown(const Outcome& outcome) {
  std::string out = message("# ", title, "\n\n", question_of(outcome), "\n\n");
  for (const std::string& sentence : answer_of(outcome)) out += sentence + "\n\n";
  const auto table = [&](const Table& one) {
    if (!one.rows.empty()) out += one.caption + "\n\n" + markdown_of(one) + "\n";
  };
  for (const int stages : outcome.stage_counts()) {
    table(rules_table(outcome, stages));
    table(costs_table(outcome, stages));
  }
  for (const Table& one :
       {frames_table(outcome), memory_table(outcome), targets_table(outcome), break_even_table(outcome)})
    table(one);
  if (outcome.tune > 1) table(search_table(outcome));
  table(arms_table(outcome));
  const auto list = [&](const std::string& heading, const std::vector<std::string>& sentences) {
    out += "## " + heading + "\n\n";
    for (const std::string& sentence : sentences) out += "- " + sentence + "\n";
    out += "\n";
  };
  list("Method", method_of(outcome));
  list("What is not shown", not_shown(outcome));
  return out + "Made by `" + outcome.command + "`; `report.html` beside this file has the pictures.\n";
}

}  // namespace interlock
