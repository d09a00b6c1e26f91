// The one thread that performs all streams of the stand-in.
#include <algorithm>
#include <cstring>
#include <utility>

#include "tests/support/nccl_stand_in_parts.h"

namespace interlock {
namespace {

// In the order of members.
template <class T>
void add(const std::vector<void*>& members, size_t begin, size_t count, const std::vector<bool>& keeps) {
  for (size_t i = begin; i < begin + count; ++i) {
    T sum = static_cast<T*>(members[0])[i];
    for (size_t member = 1; member < members.size(); ++member) sum += static_cast<T*>(members[member])[i];
    for (size_t member = 0; member < members.size(); ++member)
      if (keeps[member]) static_cast<T*>(members[member])[i] = sum;
  }
}

void add(NcclType type, const std::vector<void*>& members, size_t begin, size_t count, const std::vector<bool>& keeps) {
  type == NcclType::float32 ? add<float>(members, begin, count, keeps) : add<double>(members, begin, count, keeps);
}

// What the members of a collective have afterwards.
void perform_collective(const Part& part, const std::vector<void*>& members) {
  const size_t size = members.size();
  const auto only = [&](size_t member) {
    std::vector<bool> keeps(size, false);
    keeps[member] = true;
    return keeps;
  };
  const auto copy = [&](size_t from, size_t begin, size_t bytes) {
    for (size_t member = 0; member < size; ++member)
      if (member != from)
        std::memcpy(static_cast<char*>(members[member]) + begin, static_cast<char*>(members[from]) + begin, bytes);
  };
  switch (part.kind) {
    case Part::Kind::all_reduce:
      return add(part.type, members, 0, part.count, std::vector<bool>(size, true));
    case Part::Kind::reduce:
      return add(part.type, members, 0, part.count, only(part.peer));
    case Part::Kind::broadcast:
      return copy(part.peer, 0, part.count);
    case Part::Kind::reduce_scatter:
      for (size_t member = 0; member < size; ++member)
        add(part.type, members, member * part.count, part.count, only(member));
      return;
    default:
      for (size_t member = 0; member < size; ++member) copy(member, member * part.count, part.count);
  }
}

}  // namespace

void NcclStandIn::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (!go_on()) changed_.wait_for(lock, std::chrono::milliseconds(1));
  }
}

bool NcclStandIn::go_on() {
  const bool started = start_pending();
  return perform_heads() || started;
}

// Communicators that all members have begun are there; calls whose sides are connected reach their streams.
bool NcclStandIn::start_pending() {
  bool moved = false;
  for (const auto& one : all_) {
    ncclComm& own = *one;
    Shared& shared = *static_cast<Shared*>(own.shared);
    if (own.ended || own.state != nccl_in_progress || gpus_[own.gpu]->lost) continue;
    const bool complete = std::ranges::all_of(shared.members, [&](ncclComm* member) {
      return member && (!member->ended || member->closing) && !gpus_[member->gpu]->lost;
    });
    if (own.closing) {
      const auto uses = [&](const Task& task) { return task.communicator == &own; };
      if (own.stream && std::ranges::any_of(own.stream->tasks, uses)) continue;
    } else if (own.pending.empty()) {
      if (!complete) continue;
    } else {
      bool connected = true;
      for (const Part& part : own.pending) {
        const int me = own.position;
        if (part.kind == Part::Kind::send) shared.sent[me][part.peer] = true;
        if (part.kind == Part::Kind::receive) shared.received[part.peer][me] = true;
        if (!part.is_message()) shared.met[me] = true;
        const int from = part.kind == Part::Kind::send ? me : part.peer,
                  to = part.kind == Part::Kind::send ? part.peer : me;
        connected = connected && (part.is_message() ? shared.sent[from][to] && shared.received[from][to]
                                                    : std::ranges::find(shared.met, false) == shared.met.end());
      }
      if (!connected) continue;
      Task task{Task::Kind::nccl};
      task.communicator = &own;
      task.parts = std::exchange(own.pending, {});
      own.stream->tasks.push_back(std::move(task));
    }
    own.state = nccl_success;
    moved = true;
  }
  return moved;
}

namespace {

// The first part that is not done of the call with which a member's stream begins, if it may be performed there.
Part* first_part(ncclComm* member, bool lost) {
  if (!member || member->ended || lost || !member->stream || member->stream->tasks.empty()) return nullptr;
  Task& head = member->stream->tasks.front();
  if (head.kind != Task::Kind::nccl || head.communicator != member) return nullptr;
  const auto part = std::ranges::find_if(head.parts, [](const Part& one) { return !one.done; });
  return part == head.parts.end() ? nullptr : &*part;
}

}  // namespace

bool NcclStandIn::perform_heads() {
  bool moved = false;
  for (const auto& gpu : gpus_) {
    for (const auto& stream : gpu->streams) {
      const bool held = gpu->lost || (gpu->held && stream == gpu->streams.front());
      if (held || stream->tasks.empty() || !perform(stream->tasks.front())) continue;
      stream->tasks.pop_front();
      moved = true;
    }
  }
  return moved;
}

// True when the task is over.
bool NcclStandIn::perform(Task& task) {
  switch (task.kind) {
    case Task::Kind::record:
      task.event->passed = std::max(task.event->passed, task.time);
      return true;
    case Task::Kind::wait:
      return task.event->passed >= task.time;
    case Task::Kind::work:
      task.work();
      return true;
    default:
      while (perform_part(task)) {
      }
      return task.communicator->ended || std::ranges::all_of(task.parts, &Part::done);
  }
}

// The next part of a call, if its other sides have come to theirs.
bool NcclStandIn::perform_part(Task& call) {
  const auto first_of = [&](ncclComm* member) { return first_part(member, member && gpus_[member->gpu]->lost); };
  const Shared& shared = *static_cast<Shared*>(call.communicator->shared);
  Part* part = first_of(call.communicator);
  if (!part) return false;
  if (part->is_message()) {
    Part* other = first_of(shared.members[part->peer]);
    if (!other || !other->is_message() || other->kind == part->kind || other->peer != call.communicator->position ||
        other->count != part->count)
      return false;
    const bool sends = part->kind == Part::Kind::send;
    std::memcpy(sends ? other->data : part->data, sends ? part->data : other->data, part->count);
    part->done = other->done = true;
    return true;
  }
  std::vector<Part*> members;
  std::vector<void*> data;
  for (ncclComm* member : shared.members) {
    members.push_back(first_of(member));
    if (!members.back() || !members.back()->fits(*part)) return false;
    data.push_back(members.back()->data);
  }
  perform_collective(*part, data);
  for (Part* member : members) member->done = true;
  return true;
}

}  // namespace interlock
