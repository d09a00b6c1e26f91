#include "parallel/training/trainer.h"

#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>

#include <algorithm>
#include <cmath>

#include "parallel/keeping/weights.h"
#include "parallel/stage/stage.h"
#include "parallel/training/held_out.h"
#include "parallel/training/summary.h"
#include "runtime/core/log.h"
#include "runtime/device/staging.h"
#include "runtime/storage/weights_set.h"

namespace interlock {
Trainer::Trainer(RankContext& context, Engine& engine, std::shared_ptr<const Loader> loader, TrainerSettings settings,
                 TrainerCallbacks callbacks)
    : context_(context),
      engine_(engine),
      loader_(std::move(loader)),
      settings_(std::move(settings)),
      callbacks_(std::move(callbacks)),
      reports_(context.transport, context.run),
      copies_(context, settings_.refresh_every),
      best_(settings_.best),
      checkpointer_(context, copies_, settings_.checkpoint),
      stop_(context.transport, context.run, settings_.resume ? settings_.resume->manifest().step + 1 : 1,
            callbacks_.stop_wanted),
      techniques_(settings_.techniques, settings_.layers) {
  summary_.divergences = settings_.divergences;
  if (!settings_.resume) return;
  summary_.first_step = settings_.resume->manifest().step + 1;
  const std::vector<std::string> fresh = restore_state(context, copies_, *settings_.resume);
  if (!fresh.empty())
    log_warning(message(settings_.resume->folder(), " holds no optimizer state ", fresh.front(),
                        fresh.size() > 1 ? message(" nor ", fresh.size() - 1, " others") : std::string(),
                        ": what was not trained before begins anew"));
  take_up_best(settings_.resume->manifest().state);
  summary_.divergences.restore(settings_.resume->manifest().state);
  settings_.resume.reset();
}

// Of the checkpoint. Where the weights themselves are gone by now, or others lie there, the best of those to come are
// kept: of steps that are done again it will be the same.
void Trainer::take_up_best(const std::map<std::string, std::string>& state) {
  best_.restore(state);
  summary_.ended_early = best_.out_of_patience();
  if (!best_.best() || callbacks_.weights_path.empty()) return;
  if (kept_best_step(callbacks_.weights_path) == best_.best()->step) return;
  if (context_.transport.rank() == 0)
    log_warning(message("the best weights so far, of step ", best_.best()->step,
                        ", are not there any more: the best of the steps ", "to come are kept"));
  best_.forget();
  summary_.ended_early = false;
}

const Plan& Trainer::plan_at(int64_t step) const {
  const Plan* current = &settings_.plans->front().plan;
  for (const auto& change : *settings_.plans)
    if (change.at_step <= step) current = &change.plan;
  return *current;
}

bool Trainer::evaluates_after(int64_t step) const {
  if (settings_.evaluate_every <= 0 || loader_->held_out_microbatches(settings_.evaluate_sequences) == 0) return false;
  return step % settings_.evaluate_every == 0 || step == settings_.steps;
}

RunSummary Trainer::run() {
  std::tie(clock_offset_, clock_error_) = align_clock(context_.world);
  if (!settings_.traced.empty())
    trace_.emplace(settings_.traced,
                   RankTrace{context_.transport.rank(), host_name(), clock_offset_, clock_error_, {}});
  const double start = TraceRecorder::now();
  engine_.restart_clock();
  summary_.steps = summary_.first_step - 1;
  engine_.pulse().begin_step(summary_.steps);
  for (int64_t step = summary_.first_step; step <= settings_.steps && goes_on(); ++step) {
    const Plan &before = plan_at(step - 1), &now = plan_at(step);
    if (&before != &now && context_.transport.rank() == 0 && callbacks_.on_change)
      callbacks_.on_change(step, before, now);
    const StepOptions options{step, settings_.seed, settings_.learning_rate.at(step), settings_.clip,
                              summary_.divergences.looks()};
    after_step(step, engine_.train(now, options));
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
  const bool goes_back = !survives(step);
  if (copies_.due_after(step)) engine_.await_values();
  copies_.after_step(step);
  summary_.ending = ending_after(step);
  if (goes_back) {
    summary_.ending = Ending::rewinds;
    summary_.next_sample = loader_->first_sample(step + 1);
    stop_.close(step);
    return;
  }
  if (evaluates_after(step)) {
    take(engine_.finish_steps());
    engine_.pulse().enter(PulsePhase::evaluation);
    evaluate(step);
    engine_.pulse().enter(PulsePhase::training);
    engine_.restart_clock();
  } else if (step == settings_.steps && techniques_.measures()) {
    take(engine_.finish_steps());
    const TechniqueNumbers measured = measure();
    if (leader) publish(reports_.complete_through(step), {{}, {}, {}, measured});
  } else if (leader) {
    publish(reports_.complete());
  }
  const bool last = (step == settings_.steps || summary_.ended_early) && settings_.checkpoint.every > 0;
  const bool asked = summary_.ending != Ending::completed || step == settings_.until || last;
  if (!settings_.checkpoint.run_folder.empty() && (asked || checkpointer_.due_after(step))) {
    take(engine_.finish_steps());
    engine_.await_values();
    check_finite();
    engine_.pulse().enter(PulsePhase::checkpoint);
    checkpointer_.begin(step, loader_->first_sample(step + 1), state());
    engine_.pulse().enter(PulsePhase::training);
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
    engine_.pulse().end_step(report.seconds, report.seconds - report.waited - report.loading);
    tokens_ += static_cast<double>(loader_->tokens(report.step));
    reports_.add(report);
  }
  if (trace_) trace_->add(engine_.trace().slices());
}

// Whether the run goes on from here: not where it is to go back. Every rank knows the same and decides the same.
bool Trainer::survives(int64_t step) {
  const std::optional<Divergence>& divergence = engine_.divergence();
  const bool allowed = summary_.divergences.take(!divergence);
  if (!divergence) return true;
  const bool leader = context_.transport.rank() == 0;
  // One says it, the others are ended.
  if (leader && !allowed)
    throw Error(ExitCode::gave_up,
                message(divergence->reason, ", and ", summary_.divergences.why(), "; ", what_stands,
                        ". A lower optimizer.learning_rate or optimizer.clip may help, or the data of step ", step,
                        " may be bad"));
  if (leader && callbacks_.on_divergence) callbacks_.on_divergence(*divergence);
  return summary_.divergences.policy() == OnDivergence::skip;
}

// More for the manifest of a checkpoint.
std::map<std::string, std::string> Trainer::state() const {
  std::map<std::string, std::string> state = best_.state();
  state.merge(summary_.divergences.state());
  return state;
}

Ending Trainer::ending_after(int64_t step) {
  const bool stop = [&] {
    const PulseWait waiting(engine_.pulse(), context_.transport.rank() == 0 ? waits_for_nobody : 0);
    return stop_.stops_after(step);
  }();
  if (step == settings_.steps) return Ending::completed;
  if (settings_.until && step >= *settings_.until) return Ending::until;
  return stop ? Ending::stopped : Ending::completed;
}

void Trainer::conclude(Ending ending) {
  const bool leader = context_.transport.rank() == 0;
  const int64_t last = summary_.steps;
  take(engine_.finish_steps());
  engine_.pulse().enter(PulsePhase::end);
  if (leader) publish(reports_.complete_through(last));
  if (ending == Ending::rewinds) reports_.close();
  reports_.drain();
  copies_.drain();
  engine_.drain();
  stop_.drain();
  checkpointer_.finish();  // first: one that does not fit gives its space back
  if (ending == Ending::rewinds) return;
  // Who asks a run to stop wants it to end: what it leaves is a checkpoint.
  if (ending != Ending::stopped) save_last(last);
  const bool asked = ending != Ending::completed || last == settings_.until;
  if (leader && asked && !settings_.checkpoint.run_folder.empty() && checkpointer_.published() != last)
    throw Error(ExitCode::cannot_write,
                message("the run stopped after step ", last, ", but its checkpoint could not be written",
                        checkpointer_.problem().empty() ? "" : ": ", checkpointer_.problem(),
                        ending == Ending::stopped ? "" : "; its weights are in " + callbacks_.weights_path));
  summary_.not_kept = checkpointer_.problem();
  summary_.ranks = gather_summaries();
  engine_.pulse().enter(PulsePhase::ended);
}

// `after_last` belongs to the last of these steps.
void Trainer::publish(std::vector<std::vector<StepReport>> complete, const Findings& after_last) {
  for (size_t i = 0; i < complete.size(); ++i) {
    const bool last = i + 1 == complete.size(), left_out = complete[i].front().left_out;  // as rank 0 has it
    // It has no loss that says anything, but what was found out after it has.
    if (left_out && !(last && after_last.loss)) continue;
    const int64_t step = complete[i].front().step;
    StepMetrics metrics = summarize(complete[i], context_.topology, settings_.learning_rate.at(step),
                                    static_cast<double>(loader_->tokens(step)));
    const PlanShape& shape = plan_at(step).shape;
    metrics.techniques =
        techniques_.of_step(settings_.seed, step, int64_t{shape.microbatches} * int64_t{shape.replicas});
    note_techniques(metrics.techniques, last ? after_last.techniques : TechniqueNumbers{});
    if (last) {
      metrics.validation_loss = after_last.loss;
      metrics.validation_losses = after_last.losses;
      metrics.validation_scores = after_last.scores;
      metrics.techniques.insert(after_last.techniques.begin(), after_last.techniques.end());
    }
    if (!left_out) summary_.loss = metrics.loss;
    if (callbacks_.on_step) callbacks_.on_step(metrics);
  }
  if (!after_last.loss) return;
  summary_.validation_loss = after_last.loss;
  summary_.validation_scores = after_last.scores;
  summary_.validation_step = summary_.steps;
}

// Steps are published in order: the mean over them goes on from the one before.
void Trainer::note_techniques(const TechniqueNumbers& of_step, const TechniqueNumbers& measured) {
  ++published_;
  for (const auto& [number, value] : of_step) {
    double& mean = summary_.techniques[number];
    mean += (value - mean) / static_cast<double>(published_);
  }
  for (const auto& [number, value] : measured) summary_.techniques[number] = value;
}

// On every rank together; the numbers are rank 0's.
TechniqueNumbers Trainer::measure() {
  if (!techniques_.measures()) return {};
  engine_.await_values();
  return techniques_.measure(context_);
}

// Every rank sees the same, and decides the same.
void Trainer::evaluate(int64_t step) {
  const bool leader = context_.transport.rank() == 0;
  // Where running averages are kept, they are what is evaluated and left behind; training goes on from the values.
  engine_.exchange_averages();
  const HeldOut held_out = evaluate_held_out(context_, engine_, *loader_, plan_at(step).rule,
                                             {step, settings_.seed, 0, 0}, settings_.evaluate_sequences);
  engine_.exchange_averages();
  Findings found{held_out.loss, held_out.losses, {}, measure()};
  if (settings_.score && !held_out.guesses.empty()) found.scores = settings_.score(held_out.guesses);
  if (found.scores.contains("accuracy")) summary_.majority_baseline = majority_share(held_out.guesses);
  if (leader) {
    const PulseWait waiting(engine_.pulse(), waits_for_several);
    publish(reports_.complete_through(step), found);
  }
  // All ranks know it; one says it, the others are ended.
  if (leader && !std::isfinite(held_out.loss))
    throw Error(ExitCode::gave_up,
                message("the validation loss is ", held_out.loss, " after step ", step, "; ", what_stands));
  keep_best(step, held_out.loss, found.scores);
}

void Trainer::keep_best(int64_t step, double loss, const std::map<std::string, double>& scores) {
  if (best_.improves(step, loss, scores) && !callbacks_.weights_path.empty()) {
    engine_.await_values();
    engine_.pulse().enter(PulsePhase::checkpoint);  // it is a disk that takes the time
    save(best_weights_path(callbacks_.weights_path), step);
  }
  summary_.ended_early = best_.out_of_patience();
}

void Trainer::save(const std::string& path, int64_t step) {
  // The path is the same on all ranks; rank 0 writes. Averages that replicas share out come together for it.
  const bool writes = context_.topology.replica() == 0;
  if (path.empty()) return;
  if (writes) check_finite();
  auto metadata = settings_.metadata;
  metadata[step_metadata] = std::to_string(step);
  engine_.exchange_averages();
  if (writes) write_weights(context_, path, settings_.aliases, metadata);
  engine_.exchange_averages();
}

// The weights of the run: of its last step, or its best.
void Trainer::save_last(int64_t step) {
  if (!best_.best()) return save(callbacks_.weights_path, step);
  summary_.best_step = best_.best()->step;
  summary_.best_value = best_.best()->value;
  if (context_.transport.rank() == 0 && !callbacks_.weights_path.empty())
    take_over_best(callbacks_.weights_path, step, best_);
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
  // What a message that was given up leaves behind is finite too.
  context_.transport.check();
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
