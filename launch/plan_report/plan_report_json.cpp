// The report of a plan as JSON.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "launch/plan_report/plan_report.h"

namespace interlock {
namespace {

using nlohmann::json;

// The asked word of a rule: "furthest" of "furthest(2)".
std::string rule_word(const LearningRule& rule) { return rule.name.substr(0, rule.name.find('(')); }

// Per boundary k -> k - 1, k = 1..stages-1: the losses that each stream carries.
json streams_json(const Plan& plan) {
  json boundaries = json::array();
  for (int stage = 1; stage < plan.shape.stages; ++stage) {
    std::vector<std::vector<int>> streams;
    for (const Stream& stream : plan.flows.incoming(stage - 1)) streams.push_back(stream.losses);
    std::sort(streams.begin(), streams.end());
    boundaries.push_back(streams);
  }
  return boundaries;
}

json messages_json(const Plan& plan) {
  const auto forward = plan.forward_messages(), backward = plan.backward_messages();
  json boundaries = json::array();
  for (size_t i = 0; i < forward.size(); ++i)
    boundaries.push_back({{"forward", forward[i]}, {"backward", backward[i]}});
  return boundaries;
}

json actions_json(const Plan& plan) {
  json ranks = json::array();
  for (const auto& actions : plan.ranks) {
    json words = json::array();
    for (const Action& action : actions) words.push_back(text_of(action, plan.flows));
    ranks.push_back(std::move(words));
  }
  return ranks;
}

json simulated_json(const Simulation& simulation) {
  return {{"step", simulation.step},
          {"idle_share", simulation.idle_share},
          {"idle_share_of_rank", simulation.idle_share_of_rank},
          {"peak_bytes", simulation.peak_bytes}};
}

// The fastest first; of a schedule that was asked for by name, that one.
json candidates_json(const PlanReport& report) {
  json candidates = json::array();
  for (const Candidate& each : report.choice.candidates)
    candidates.push_back({{"schedule", each.schedule},
                          {"step", each.step},
                          {"idle_share", each.idle_share},
                          {"peak_bytes", each.peak_bytes},
                          {"fits", each.fits}});
  if (candidates.empty())
    candidates.push_back({{"schedule", report.plan.schedule},
                          {"step", report.simulation.step},
                          {"idle_share", report.simulation.idle_share},
                          {"peak_bytes", std::ranges::max(report.simulation.peak_bytes)},
                          {"fits", true}});
  return candidates;
}

json memory_json(const PlanReport& report) {
  json ranks = json::array();
  for (const MemoryFootprint& rank : report.memory)
    ranks.push_back({{"parameters", rank.parameters},
                     {"gradients", rank.gradients},
                     {"optimizer", rank.optimizer},
                     {"product_copies", rank.product_copies},
                     {"readout_copies", rank.readout_copies},
                     {"sums", rank.sums},
                     {"checkpoint", rank.checkpoint},
                     {"data", rank.data},
                     {"activations", rank.activations},
                     {"total", rank.all() + report.empty_rank}});
  json all = {{"empty_rank", report.empty_rank}, {"ranks", ranks}};
  if (report.machine.bytes > 0) {
    all["together"] = report.together;
    all["machine"] = report.machine.bytes;
  }
  return all;
}

// What a learning rule alone decides.
json rule_json(const Plan& plan) {
  return {{"rule", rule_word(plan.rule)},
          {"rule_name", plan.rule.name},
          {"matrix", plan.rule.weights},
          {"frozen", plan.rule.frozen},
          {"heads", plan.flows.heads()},
          {"streams", streams_json(plan)},
          {"messages", messages_json(plan)},
          {"longest_backward_chain", plan.flows.longest_backward_chain},
          {"extra_passes", plan.flows.extra_passes()},
          {"in_flight", plan.in_flight()}};
}

}  // namespace

json report_json(const PlanReport& report) {
  const Plan& plan = report.plan;
  json all = rule_json(plan);
  all["stages"] = plan.shape.stages;
  all["ranks"] = plan.shape.ranks;
  all["replicas"] = plan.shape.replicas;
  all["microbatches"] = plan.shape.microbatches;
  all["placement"] = plan.shape.placement.rank_of_stage();
  all["schedule"] = plan.schedule;
  all["candidates"] = candidates_json(report);
  all["bounds"] = {{"busiest_rank", report.bounds.busiest_rank},
                   {"longest_chain", report.bounds.longest_chain},
                   {"waiting_rank", report.bounds.waiting_rank},
                   {"busiest_link", report.bounds.busiest_link}};
  all["norm_over_model"] = plan.norm_over_model;
  if (!report.blocks.empty()) {
    all["unit"] = name_of(report.cut_unit);
    all["partition"] = report.blocks;
    if (report.cut_unit == Unit::block) all["blocks"] = report.blocks;
  }
  all["actions"] = actions_json(plan);
  all["costs"] = report.costs;
  all["simulated"] = simulated_json(report.simulation);
  all["tied"] = plan.tied;
  if (report.parameters > 0) {
    all["parameters"] = report.parameters;
    all["trained_parameters"] = report.trained_parameters;
  }
  if (report.layers) all["layers"] = {{"count", report.layers->count}, {"expected", report.layers->expected}};
  if (!report.memory.empty()) all["memory"] = memory_json(report);
  if (report.readout)
    all["readout_copies"] = {{"ranks", report.readout->ranks},
                             {"bytes", report.readout->bytes},
                             {"refresh_every", report.readout->refresh_every}};
  if (report.global) all["global"] = simulated_json(*report.global);
  if (report.break_even) all["break_even_microbatches"] = *report.break_even;
  if (const auto& advice = report.advice)
    all["depth_advice"] = {{"parameters", advice->parameters},
                           {"layers", advice->layers},
                           {"width", advice->width},
                           {"best_layers", advice->best_layers},
                           {"best_width", advice->best_width},
                           {"in_range", advice->in_range},
                           {"message_bytes", advice->message_bytes},
                           {"best_message_bytes", advice->best_message_bytes}};
  json changes = json::array();
  for (const auto& change : report.changes) {
    json entry = rule_json(change.plan);
    entry["at_step"] = change.at_step;
    entry["microbatches"] = change.plan.shape.microbatches;
    entry["simulated"] = simulated_json(change.simulation);
    changes.push_back(std::move(entry));
  }
  all["changes"] = std::move(changes);
  return all;
}

}  // namespace interlock
