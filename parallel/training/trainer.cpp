#include "parallel/training/trainer.h"

#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "parallel/keeping/weights.h"
#include "parallel/plan/pair_order.h"
#include "parallel/stage/stage.h"
#include "parallel/training/summary.h"
#include "runtime/core/log.h"
#include "runtime/device/staging.h"
#include "runtime/storage/weights_set.h"

namespace interlock {
namespace {

// One loss per held-out microbatch: (index, sum, count), as it travels to the other ranks.
struct ScoredMicrobatch {
  int64_t index;
  double sum;
  int64_t count;
};

}  // namespace

Trainer::Trainer(RankContext& context, Engine& engine, std::shared_ptr<const Loader> loader, TrainerSettings settings,
                 TrainerCallbacks callbacks)
    : context_(context),
      engine_(engine),
      loader_(std::move(loader)),
      settings_(std::move(settings)),
      callbacks_(std::move(callbacks)),
      reports_(context.transport, context.run),
      copies_(context, settings_.refresh_every),
      checkpointer_(context, copies_, settings_.checkpoint),
      stop_(context.transport, context.run, settings_.resume ? settings_.resume->manifest().step + 1 : 1,
            callbacks_.stop_wanted) {
  if (!settings_.resume) return;
  summary_.first_step = settings_.resume->manifest().step + 1;
  const std::vector<std::string> fresh = restore_state(context, copies_, *settings_.resume);
  if (!fresh.empty())
    log_warning(message(settings_.resume->folder(), " holds no optimizer state ", fresh.front(),
                        fresh.size() > 1 ? message(" nor ", fresh.size() - 1, " others") : std::string(),
                        ": what was not trained before begins anew"));
  settings_.resume.reset();
}

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
  std::tie(clock_offset_, clock_error_) = align_clock(context_.world);
  const double start = TraceRecorder::now();
  engine_.restart_clock();
  summary_.steps = summary_.first_step - 1;
  for (int64_t step = summary_.first_step; step <= settings_.steps && summary_.ending == Ending::completed; ++step) {
    const StepOptions options{step, settings_.seed, settings_.learning_rate.at(step), settings_.clip};
    after_step(step, engine_.train(plan_at(step), options));
    if (step == summary_.first_step) summary_.first_step_seconds = TraceRecorder::now() - start;
  }
  conclude(summary_.ending);
  summary_.seconds = TraceRecorder::now() - start;
  double longest = 0, waited = 0, total = 0;
  for (const RankSummary& rank : summary_.ranks) {
    longest = std::max(longest, rank.seconds);
    waited += rank.waited;
    total += rank.seconds;
  }
  if (longest > 0) summary_.tokens_per_second = tokens_ / longest;
  if (total > 0) summary_.idle_share = waited / total;
  return std::move(summary_);
}

// Every rank does the same here, in the same order.
void Trainer::after_step(int64_t step, const std::vector<StepReport>& reports) {
  const bool leader = context_.transport.rank() == 0;
  summary_.steps = step;
  take(reports);
  if (copies_.due_after(step)) engine_.await_values();
  copies_.after_step(step);
  summary_.ending = ending_after(step);
  if (evaluates_after(step)) {
    take(engine_.finish_steps());
    exchange_averages();
    const double loss = evaluate(step);
    exchange_averages();
    if (leader) publish(reports_.complete_through(step), loss);
    // All ranks know it; one says it, the others are ended.
    if (leader && !std::isfinite(loss))
      throw Error(ExitCode::gave_up, message("the validation loss is ", loss, " after step ", step, "; ", what_stands));
    engine_.restart_clock();
  } else if (leader) {
    publish(reports_.complete(), std::nullopt);
  }
  const bool last = step == settings_.steps && settings_.checkpoint.every > 0;
  const bool asked = summary_.ending != Ending::completed || step == settings_.until || last;
  if (!settings_.checkpoint.run_folder.empty() && (asked || checkpointer_.due_after(step))) {
    take(engine_.finish_steps());
    engine_.await_values();
    check_finite();
    checkpointer_.begin(step, loader_->first_sample(step + 1));
    engine_.restart_clock();
  } else {
    checkpointer_.poll();
  }
}

void Trainer::take(const std::vector<StepReport>& reports) {
  for (const StepReport& report : reports) {
    seconds_ += report.seconds;
    waited_ += report.waited;
    loading_ += report.loading;
    tokens_ += static_cast<double>(loader_->samples_per_step(report.step) * loader_->dataset().sample_length());
    reports_.add(report);
  }
}

Ending Trainer::ending_after(int64_t step) {
  const bool stop = stop_.stops_after(step);
  if (step == settings_.steps) return Ending::completed;
  if (settings_.until && step >= *settings_.until) return Ending::until;
  return stop ? Ending::stopped : Ending::completed;
}

void Trainer::conclude(Ending ending) {
  const bool leader = context_.transport.rank() == 0;
  const int64_t last = summary_.steps;
  take(engine_.finish_steps());
  if (leader) publish(reports_.complete_through(last), std::nullopt);
  reports_.drain();
  copies_.drain();
  engine_.drain();
  stop_.drain();
  checkpointer_.finish();  // first: one that does not fit gives its space back
  // Who asks a run to stop wants it to end: what it leaves is a checkpoint.
  if (ending != Ending::stopped) save(last);
  const bool asked = ending != Ending::completed || last == settings_.until;
  if (leader && asked && !settings_.checkpoint.run_folder.empty() && checkpointer_.published() != last)
    throw Error(ExitCode::cannot_write,
                message("the run stopped after step ", last, ", but its checkpoint could not be written"));
  summary_.ranks = gather_summaries();
}

void Trainer::publish(std::vector<std::vector<StepReport>> complete, std::optional<double> validation_loss) {
  const auto length = static_cast<double>(loader_->dataset().sample_length());
  for (size_t i = 0; i < complete.size(); ++i) {
    const int64_t step = complete[i].front().step;
    StepMetrics metrics = summarize(complete[i], context_.topology, settings_.learning_rate.at(step),
                                    static_cast<double>(loader_->samples_per_step(step)) * length);
    if (i + 1 == complete.size()) metrics.validation_loss = validation_loss;
    summary_.loss = metrics.loss;
    if (callbacks_.on_step) callbacks_.on_step(metrics);
  }
  if (validation_loss) summary_.validation_loss = validation_loss;
}

double Trainer::evaluate(int64_t step) {
  const Topology& topology = context_.topology;
  Engine::EvaluationShare share{settings_.evaluate_sequences, {}};
  const int64_t microbatches = loader_->held_out_microbatches(settings_.evaluate_sequences);
  for (int64_t i = topology.replica(); i < microbatches; i += topology.shape.replicas) share.indices.push_back(i);
  std::vector<ScoredMicrobatch> scored;
  if (!share.indices.empty()) {
    PlanShape shape = topology.shape;
    shape.microbatches = static_cast<int>(share.indices.size());
    const Plan plan = make_evaluation_plan(shape, plan_at(step).rule);
    if (context_.transport.ordered_pairs()) check_pair_order(plan);
    const std::vector<LossValue> losses = engine_.evaluate(plan, {step, settings_.seed, 0, 0}, share);
    for (size_t i = 0; i < losses.size(); ++i) scored.push_back({share.indices[i], losses[i].sum, losses[i].count});
  }
  // Everybody learns all losses and adds them in the order of the samples: the number is the same for any placement.
  std::string mine(scored.size() * sizeof(ScoredMicrobatch), '\0');
  if (!scored.empty()) std::memcpy(mine.data(), scored.data(), mine.size());
  std::vector<ScoredMicrobatch> all;
  for (const std::string& part : context_.world.all_gather(mine)) {
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

void Trainer::save(int64_t step) {
  // The path is the same on all ranks; rank 0 writes.
  if (callbacks_.weights_path.empty() || context_.topology.replica() != 0) return;
  check_finite();
  auto metadata = settings_.metadata;
  metadata[step_metadata] = std::to_string(step);
  exchange_averages();
  write_weights(context_, callbacks_.weights_path, settings_.aliases, metadata);
  exchange_averages();
}

// Where running averages are kept, they are what is evaluated and left behind; training goes on from the values.
void Trainer::exchange_averages() {
  for (auto& stage : context_.stages) stage->exchange_averages();
}

void Trainer::check_finite() {
  for (auto& stage : context_.stages) {
    std::vector<const ParameterStore::Entry*> trained;
    std::vector<at::Tensor> finite;  // looked at together: on a device every look waits
    for (const ParameterStore::Entry& entry : stage->store().entries()) {
      if (entry.kind != ParameterStore::Kind::trained) continue;
      trained.push_back(&entry);
      finite.push_back(at::isfinite(at::sum(entry.value)));
    }
    if (finite.empty()) continue;
    const at::Tensor all = on_host(at::stack(finite));
    for (size_t i = 0; i < trained.size(); ++i)
      if (!all.const_data_ptr<bool>()[i])
        throw Error(ExitCode::gave_up, message(trained[i]->name, " of stage ", stage->index(),
                                               " is not finite after the last update; ", what_stands));
  }
}

std::vector<RankSummary> Trainer::gather_summaries() {
  RankSummary mine;
  mine.rank = context_.transport.rank();
  mine.host = host_name();
  mine.seconds = seconds_;
  mine.waited = waited_;
  mine.loader_seconds = loading_;
  mine.peak_rss_mib = peak_rss_mib();
  mine.checkpoint_seconds = checkpointer_.seconds();
  mine.counters = engine_.counters();
  for (auto& stage : context_.stages) mine.costs[stage->index()] = engine_.measured(stage->index());
  mine.trace = {mine.rank, mine.host, clock_offset_, clock_error_, engine_.trace().slices()};
  const std::string bytes = serialize(mine, engine_.trace());
  std::vector<RankSummary> all;
  for (int rank = 0; rank < context_.world.size(); ++rank)  // one by one, to rank 0 only: traces are long
    if (const std::string told = context_.world.collect(bytes, rank, 0); !told.empty())
      all.push_back(deserialize(told));
  return all;
}

}  // namespace interlock
