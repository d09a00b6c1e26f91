#include "parallel/trainer.h"

#include <ATen/ops/isfinite.h>
#include <ATen/ops/sum.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "parallel/stage.h"
#include "parallel/summary.h"
#include "parallel/weights.h"

namespace interlock {
namespace {

std::vector<int> everyone(int size) {
  std::vector<int> members(size);
  std::iota(members.begin(), members.end(), 0);
  return members;
}

// One loss per held-out microbatch: (index, sum, count), as it travels to the other ranks.
struct ScoredMicrobatch {
  int64_t index;
  double sum;
  int64_t count;
};

}  // namespace

double peak_rss_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

Trainer::Trainer(Engine& engine, std::shared_ptr<const Loader> loader, TrainerSettings settings, TrainerOutlets outlets)
    : engine_(engine),
      loader_(std::move(loader)),
      settings_(std::move(settings)),
      outlets_(std::move(outlets)),
      world_(engine.transport(), everyone(engine.transport().size()), 0, settings_.run),
      reports_(engine.transport(), settings_.run) {}

const Plan& Trainer::plan_at(int64_t step) const {
  const Plan* current = &settings_.plans.front().plan;
  for (const auto& change : settings_.plans)
    if (change.at_step <= step) current = &change.plan;
  return *current;
}

bool Trainer::evaluates_after(int64_t step) const {
  if (settings_.evaluate_every <= 0 || loader_->held_out_microbatches(settings_.evaluate_sequences) == 0) return false;
  return step % settings_.evaluate_every == 0 || step == settings_.steps;
}

RunSummary Trainer::run() {
  std::tie(clock_offset_, clock_error_) = align_clock(world_);
  const double start = TraceRecorder::now();
  engine_.restart_clock();
  const bool leader = engine_.transport().rank() == 0;
  for (int64_t step = 1; step <= settings_.steps; ++step) {
    const StepOptions options{step, settings_.seed, settings_.learning_rate.at(step), settings_.clip};
    const StepReport report = engine_.train(plan_at(step), options);
    seconds_ += report.seconds;
    waited_ += report.waited;
    reports_.add(report);
    if (step == 1) summary_.first_step_seconds = TraceRecorder::now() - start;
    if (evaluates_after(step)) {
      const double loss = evaluate(step);
      if (leader) publish(reports_.complete_through(step), loss);
      // All ranks know it; one says it, the others wait in save() and are ended.
      if (leader && !std::isfinite(loss))
        throw Error(ExitCode::gave_up, message("the validation loss is ", loss, " after step ", step,
                                               "; weights of an earlier evaluation, if there was one, are kept"));
      save();
      world_.barrier();  // or the others' next step would wait for rank 0's disk, and count that as idle
      engine_.restart_clock();
    } else if (leader) {
      publish(reports_.complete(), std::nullopt);
    }
  }
  if (leader) publish(reports_.complete_through(settings_.steps), std::nullopt);
  reports_.drain();
  engine_.drain();
  if (!evaluates_after(settings_.steps) || settings_.steps == 0) save();
  summary_.ranks = gather_summaries();
  summary_.steps = settings_.steps;
  summary_.seconds = TraceRecorder::now() - start;
  double longest = 0, waited = 0, total = 0;
  for (const RankSummary& rank : summary_.ranks) {
    longest = std::max(longest, rank.seconds);
    waited += rank.waited;
    total += rank.seconds;
  }
  const double tokens = static_cast<double>(loader_->shape().samples_per_step() * loader_->dataset().sample_length());
  if (longest > 0) summary_.tokens_per_second = tokens * static_cast<double>(settings_.steps) / longest;
  if (total > 0) summary_.idle_share = waited / total;
  return std::move(summary_);
}

void Trainer::publish(std::vector<std::vector<StepReport>> complete, std::optional<double> validation_loss) {
  const double tokens = static_cast<double>(loader_->shape().samples_per_step() * loader_->dataset().sample_length());
  for (size_t i = 0; i < complete.size(); ++i) {
    const int64_t step = complete[i].front().step;
    StepMetrics metrics = summarize(complete[i], engine_.topology(), settings_.learning_rate.at(step), tokens);
    if (i + 1 == complete.size()) metrics.validation_loss = validation_loss;
    summary_.loss = metrics.loss;
    if (outlets_.on_step) outlets_.on_step(metrics);
  }
  if (validation_loss) summary_.validation_loss = validation_loss;
}

double Trainer::evaluate(int64_t step) {
  const Topology& topology = engine_.topology();
  Engine::EvaluationShare share{settings_.evaluate_sequences, {}};
  const int64_t microbatches = loader_->held_out_microbatches(settings_.evaluate_sequences);
  for (int64_t i = topology.replica(); i < microbatches; i += topology.shape.replicas) share.indices.push_back(i);
  std::vector<ScoredMicrobatch> scored;
  if (!share.indices.empty()) {
    PlanShape shape = topology.shape;
    shape.microbatches = static_cast<int>(share.indices.size());
    const Plan plan = make_evaluation_plan(shape, plan_at(step).rule);
    const std::vector<LossValue> losses = engine_.evaluate(plan, {step, settings_.seed, 0, 0}, share);
    for (size_t i = 0; i < losses.size(); ++i) scored.push_back({share.indices[i], losses[i].sum, losses[i].count});
  }
  // Everybody learns all losses and adds them in the order of the samples: the number is the same for any placement.
  std::string mine(scored.size() * sizeof(ScoredMicrobatch), '\0');
  if (!scored.empty()) std::memcpy(mine.data(), scored.data(), mine.size());
  std::vector<ScoredMicrobatch> all;
  for (const std::string& part : world_.all_gather(mine)) {
    const size_t before = all.size();
    all.resize(before + part.size() / sizeof(ScoredMicrobatch));
    if (!part.empty()) std::memcpy(&all[before], part.data(), part.size());
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
  double sum = 0;
  int64_t count = 0;
  for (const ScoredMicrobatch& one : all) {
    sum += one.sum;
    count += one.count;
  }
  return count > 0 ? sum / static_cast<double>(count) : 0.0;
}

void Trainer::save() {
  // The path is the same on all ranks; rank 0 writes.
  if (outlets_.weights_path.empty() || engine_.topology().replica() != 0) return;
  check_finite();
  write_weights(engine_, outlets_.weights_path, settings_.aliases, settings_.metadata);
}

void Trainer::check_finite() {
  for (auto& stage : engine_.stages())
    for (Trainable* part : {&stage->body(), stage->head()})
      if (part != nullptr)
        for (const Parameter& parameter : part->parameters())
          if (!at::isfinite(at::sum(parameter.value)).item().toBool())
            throw Error(ExitCode::gave_up, message(parameter.name, " of stage ", stage->index(),
                                                   " is not finite after the last update; "
                                                   "weights of an earlier evaluation, if there was one, are kept"));
}

std::vector<RankSummary> Trainer::gather_summaries() {
  RankSummary mine;
  mine.rank = engine_.transport().rank();
  mine.host = host_name();
  mine.seconds = seconds_;
  mine.waited = waited_;
  mine.peak_rss_mib = peak_rss_mib();
  mine.counters = engine_.counters();
  for (auto& stage : engine_.stages()) mine.costs[stage->index()] = engine_.measured(stage->index());
  mine.trace = {mine.rank, mine.host, clock_offset_, clock_error_, engine_.trace().slices()};
  std::vector<RankSummary> all;
  for (const std::string& bytes : world_.all_gather(serialize(mine, engine_.trace())))
    all.push_back(deserialize(bytes));
  return all;
}

}  // namespace interlock
