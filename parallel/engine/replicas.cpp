// What copies of the pipeline do together. Gradients are summed behind the last pass back, bucket by bucket: over all
// replicas, or, where the optimizer's state is shared out, only to the owner of each number. Then what an owner has
// updated goes to the others behind the next forward pass, which waits for a segment's values where it begins.

#include <algorithm>

#include "parallel/engine/numbers.h"
#include "parallel/engine/step.h"

namespace interlock {
namespace {

using Range = TrainableGroup::Range;

Range intersection(Range one, Range other) {
  const int64_t begin = std::max(one.first, other.first);
  return {begin, std::max(begin, std::min(one.second, other.second))};
}

}  // namespace

void Engine::begin_reduction(Step& step, TrainableGroup& group, Range range) {
  Collectives& replicas = context_.replica_values();
  if (replicas.size() == 1 || range.first == range.second) return;
  const at::Tensor values = group.gradient().narrow(0, range.first, range.second - range.first);
  std::vector<Collectives::Range> shards;
  for (int owner = 0; group.is_sharded() && owner < replicas.size(); ++owner) {
    const auto [begin, end] = intersection(group.owned_by(owner), range);
    if (begin < end)
      shards.push_back({static_cast<size_t>(begin - range.first), static_cast<size_t>(end - range.first), owner});
  }
  step.reductions.push_back(begin_over(values, in_place(), [&](const at::Tensor& where) {
    return with_numbers(where, [&](auto numbers, const auto& owner) {
      return group.is_sharded() ? replicas.begin_reduce_scatter(numbers, shards, owner)
                                : replicas.begin_all_reduce(numbers, owner);
    });
  }));
}

// Segments come from the last to the first; what has gathered is begun once it fills a bucket. A body of which the
// shared tensor alone trains has nothing to begin: that one is summed at the end.
void Engine::reduce_body(Step& step, Stage& here, int64_t segment) {
  if (here.body_group() == nullptr) return;
  TrainableGroup& group = *here.body_group();
  const int64_t begin = here.segment_offset(segment);
  const auto [begun, fresh] = step.begun.try_emplace(here.index(), group.gradient().numel());
  const int64_t bytes = (begun->second - begin) * static_cast<int64_t>(group.gradient().element_size());
  if (bytes < settings_.bucket_bytes && begin > 0) return;
  begin_reduction(step, group, {begin, begun->second});
  begun->second = begin;
  advance_reductions(step);
}

// What is done goes, and with it what it holds.
void Engine::advance_reductions(Step& step) {
  std::erase_if(step.reductions, [](const auto& reduction) { return reduction->advance(); });
}

void Engine::reduce_gradient(Step& step, Stage& here) {
  // All-reduces end in the order in which they began, and a stage below the first loss of this rank may be done before.
  if (step.counting) targets(step);
  const double begin = TraceRecorder::now();
  // The shared tensor learns on both ends of the model whatever the rule, a body that nobody teaches in no pass.
  for (TrainableGroup* group : here.active_groups()) {
    if (!group->options().shared) continue;
    group->complete();
    begin_reduction(step, *group, {0, group->gradient().numel()});
  }
  {
    const PulseWait waiting(pulse(), waits_for_several);
    while (!step.reductions.empty()) {
      step.reductions.front()->join();
      step.reductions.pop_front();
    }
  }
  note_waiting(step, begin);
}

// The body's values in buckets, from the first segment on, as the next forward pass uses them; others as one.
void Engine::begin_gather(Stage& here, TrainableGroup& group) {
  const int64_t all = group.values().numel();
  if (!group.is_sharded()) return here.refresh(group, {0, all});
  const auto width = static_cast<int64_t>(group.values().element_size());
  int64_t begin = 0;
  for (int64_t segment = 1; &group == here.body_group() && segment < here.segments(); ++segment) {
    const int64_t end = here.segment_offset(segment);
    if ((end - begin) * width < settings_.bucket_bytes) continue;
    begin_gather(here, group, {begin, end});
    begin = end;
  }
  begin_gather(here, group, {begin, all});
}

void Engine::begin_gather(Stage& here, TrainableGroup& group, Range range) {
  if (range.first == range.second) return;
  const at::Tensor values = group.values().narrow(0, range.first, range.second - range.first);
  auto gather = begin_over(values, in_place(), [&](const at::Tensor& where) {
    const auto owner = std::make_shared<at::Tensor>(where);
    auto* first = static_cast<std::byte*>(owner->data_ptr());
    const auto width = static_cast<int64_t>(owner->element_size());
    std::vector<Collectives::Shard> shards;
    for (int replica = 0; replica < context_.replicas.size(); ++replica) {
      const auto [begin, end] = intersection(group.owned_by(replica), range);
      const auto bytes = static_cast<size_t>((end - begin) * width);
      if (bytes > 0) shards.push_back({{first + (begin - range.first) * width, bytes}, replica});
    }
    return context_.replica_values().begin_all_gather(shards, owner);
  });
  gathers_.push_back({&here, &group, range, std::move(gather)});
}

void Engine::finish_gather(Gather& gather) {
  const double begin = TraceRecorder::now();
  {
    const PulseWait waiting(pulse(), waits_for_several);
    gather.values->join();
  }
  gather.stage->refresh(*gather.group, gather.range);
  waited_between_ += TraceRecorder::now() - begin;
}

// Segment -1 is the head. The shared tensor belongs to no segment of the body's group: any of them may use it.
void Engine::await_segment(const Stage& here, int64_t segment) {
  std::erase_if(gathers_, [&](Gather& gather) {
    const bool of_body = gather.group->options().role == TrainableGroup::Role::body;
    if (gather.stage != &here || of_body != (segment >= 0)) return false;
    if (gather.group == here.body_group()) {
      const Range needed{here.segment_offset(segment), here.segment_offset(segment + 1)};
      const auto [begin, end] = intersection(gather.range, needed);
      if (begin == end) return false;
    }
    finish_gather(gather);
    return true;
  });
}

// Each replica exchanges what it owns; then values go to the others as after an update.
void Engine::exchange_averages() {
  const auto keeps = [](const auto& group) { return group->optimizer().keeps_averages(); };
  const auto any = [&](const auto& stage) { return std::ranges::any_of(stage->groups(), keeps); };
  if (std::ranges::none_of(context_.stages, any)) return;
  await_values();
  for (const auto& here : context_.stages)
    for (const auto& group : here->groups())
      if (group->exchange_averages()) begin_gather(*here, *group);
  await_values();
}

void Engine::await_values() {
  for (Gather& gather : gathers_) finish_gather(gather);
  gathers_.clear();
}

}  // namespace interlock
