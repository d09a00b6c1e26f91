#include "tests/support/nccl_stand_in.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "tests/support/nccl_stand_in_parts.h"

namespace interlock {
namespace {

constexpr int internal_error = 3, invalid_argument = 4, invalid_usage = 5, remote_error = 6;

}  // namespace

class NcclStandIn::Gpu final : public NcclCalls {
 public:
  Gpu(NcclStandIn& world, int number) : world_(world), number_(number), state_(*world.gpus_[number]) {}

  int library_version() override { return state_.facts.library; }
  int header_version() override { return state_.facts.header; }
  std::string gpu_uuid() override { return state_.facts.uuid; }
  int multiprocessors() override { return state_.facts.multiprocessors; }
  void use_gpu() override {}

  int make_id(NcclId& id) override {
    std::lock_guard lock(world_.mutex_);
    const std::string text = "id " + std::to_string(++world_.ids_);
    std::memcpy(id.bytes, text.c_str(), text.size() + 1);
    return nccl_success;
  }
  int begin_communicator(Communicator& made, int size, const NcclId& id, int position, int) override {
    std::lock_guard lock(world_.mutex_);
    auto& shared = world_.shared_[id.bytes];
    if (!shared) {
      shared = std::make_shared<Shared>();
      shared->size = size;
      shared->members.resize(size);
      shared->sent.assign(size, std::vector<bool>(size));
      shared->received = shared->sent;
      shared->met.resize(size);
    }
    world_.all_.push_back(std::make_unique<ncclComm>());
    made = world_.all_.back().get();
    made->world = &world_;
    made->keeps = shared;
    made->shared = shared.get();
    made->gpu = number_;
    made->position = position;
    shared->members.at(position) = made;
    world_.changed_.notify_all();
    return nccl_in_progress;
  }
  int state(Communicator communicator, int& result) override {
    std::lock_guard lock(world_.mutex_);
    if (communicator->ended) return misuse(invalid_argument);
    result = communicator->state;
    return nccl_success;
  }
  int finalize(Communicator communicator) override {
    std::lock_guard lock(world_.mutex_);
    if (communicator->ended || communicator->state != nccl_success) return misuse(invalid_usage);
    communicator->closing = true;
    return communicator->state = nccl_in_progress;
  }
  int destroy(Communicator communicator) override {
    std::lock_guard lock(world_.mutex_);
    if (communicator->ended || !communicator->closing) return misuse(invalid_usage);
    communicator->ended = true;
    return nccl_success;
  }
  // Frees memory, which waits until no call of another communicator is at work on the GPU.
  int abort(Communicator communicator) override {
    std::unique_lock lock(world_.mutex_);
    if (communicator->ended) return misuse(invalid_argument);
    communicator->ended = true;
    communicator->pending.clear();
    world_.changed_.notify_all();
    const auto at_work = [](const auto& stream) {
      return !stream->tasks.empty() && stream->tasks.front().kind == Task::Kind::nccl &&
             !stream->tasks.front().communicator->ended;
    };
    while (std::ranges::any_of(state_.streams, at_work)) world_.changed_.wait_for(lock, std::chrono::milliseconds(1));
    return nccl_success;
  }
  std::string describe(int result) override { return "error " + std::to_string(result); }

  int send(const void* data, size_t bytes, int peer, Communicator communicator, Stream stream) override {
    return call(communicator, stream, {Part::Kind::send, const_cast<void*>(data), bytes, NcclType::bytes, peer});
  }
  int receive(void* data, size_t bytes, int peer, Communicator communicator, Stream stream) override {
    return call(communicator, stream, {Part::Kind::receive, data, bytes, NcclType::bytes, peer});
  }
  int all_reduce(void* values, size_t count, NcclType type, Communicator communicator, Stream stream) override {
    return call(communicator, stream, {Part::Kind::all_reduce, values, count, type});
  }
  int reduce(void* values, size_t count, NcclType type, int root, Communicator communicator, Stream stream) override {
    return call(communicator, stream, {Part::Kind::reduce, values, count, type, root});
  }
  int broadcast(void* bytes, size_t count, int root, Communicator communicator, Stream stream) override {
    return call(communicator, stream, {Part::Kind::broadcast, bytes, count, NcclType::bytes, root});
  }
  int reduce_scatter(void* values, size_t count, NcclType type, int, Communicator communicator,
                     Stream stream) override {
    return call(communicator, stream, {Part::Kind::reduce_scatter, values, count, type});
  }
  int all_gather(void* bytes, size_t count, int, Communicator communicator, Stream stream) override {
    return call(communicator, stream, {Part::Kind::all_gather, bytes, count});
  }
  int begin_group() override {
    grouping_ = true;
    return nccl_success;
  }
  int end_group() override {
    grouping_ = false;
    if (group_.empty()) return nccl_success;
    std::lock_guard lock(world_.mutex_);
    return put(group_of_, group_stream_, std::exchange(group_, {}));
  }

  Stream make_stream() override {
    std::lock_guard lock(world_.mutex_);
    state_.streams.push_back(std::make_unique<CUstream_st>());
    return state_.streams.back().get();
  }
  void free_stream(Stream) override {}
  std::optional<Stream> compute_stream() override {
    return world_.computes_ ? state_.streams.front().get() : std::optional<Stream>();
  }
  Event make_event() override { return new CUevent_st; }
  void free_event(Event event) override {
    std::lock_guard lock(world_.mutex_);
    freed_.emplace_back(event);  // streams may still name it
  }
  void record(Event event, Stream stream) override { world_.put(Task{Task::Kind::record, event}, stream); }
  void wait_for(Event event, Stream stream) override { world_.put(Task{Task::Kind::wait, event}, stream); }
  bool passed(Event event) override {
    std::unique_lock lock(world_.mutex_);
    world_.changed_.wait(lock, [&] { return !state_.frozen; });
    return event->passed >= event->recorded;
  }
  void* allocate(size_t bytes) override { return std::malloc(bytes); }
  void release(void* memory) override { std::free(memory); }

 private:
  int misuse(int result) {
    ++world_.misuses_;
    return result;
  }
  int call(Communicator communicator, Stream stream, Part part) {
    if (grouping_) {
      group_.push_back(part);
      group_of_ = communicator;
      group_stream_ = stream;
      return nccl_success;
    }
    std::lock_guard lock(world_.mutex_);
    return put(communicator, stream, {part});
  }
  int put(Communicator communicator, Stream stream, std::vector<Part> parts) {
    if (std::exchange(state_.refuses, false)) return internal_error;
    const bool broken = communicator->state != nccl_success && communicator->state != nccl_in_progress;
    if (!communicator->ended && broken) return communicator->state;
    if (communicator->ended || communicator->state != nccl_success || communicator->closing)
      return misuse(invalid_usage);
    communicator->pending = std::move(parts);
    communicator->stream = stream;
    communicator->state = nccl_in_progress;
    world_.changed_.notify_all();
    return nccl_in_progress;
  }

  NcclStandIn& world_;
  const int number_;
  State& state_;
  bool grouping_ = false;
  std::vector<Part> group_;
  Communicator group_of_ = nullptr;
  Stream group_stream_ = nullptr;
  std::vector<std::unique_ptr<CUevent_st>> freed_;
};

NcclStandIn::NcclStandIn(int gpus, bool computes) : computes_(computes) {
  for (int number = 0; number < gpus; ++number) {
    gpus_.push_back(std::make_unique<State>());
    gpus_.back()->facts.uuid = "GPU-stand-in-" + std::to_string(number);
    gpus_.back()->streams.push_back(std::make_unique<CUstream_st>());
    calls_.push_back(std::make_unique<Gpu>(*this, number));
  }
  thread_ = std::thread([this] { run(); });
}

NcclStandIn::~NcclStandIn() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

NcclCalls& NcclStandIn::gpu(int rank) { return *calls_.at(rank); }
NcclStandIn::Facts& NcclStandIn::facts(int rank) { return gpus_.at(rank)->facts; }

void NcclStandIn::lose(int rank) {
  std::lock_guard lock(mutex_);
  gpus_.at(rank)->lost = true;
}
void NcclStandIn::break_connections(int rank) {
  std::lock_guard lock(mutex_);
  for (const auto& [id, shared] : shared_) {
    const bool member = std::ranges::any_of(shared->members, [&](ncclComm* one) { return one && one->gpu == rank; });
    for (ncclComm* one : shared->members)
      if (member && one && one->gpu != rank && !one->ended) one->state = remote_error;
  }
}
void NcclStandIn::refuse_calls(int rank) {
  std::lock_guard lock(mutex_);
  gpus_.at(rank)->refuses = true;
}
void NcclStandIn::freeze(int rank, bool frozen) {
  std::lock_guard lock(mutex_);
  gpus_.at(rank)->frozen = frozen;
  changed_.notify_all();
}
void NcclStandIn::hold_compute(int rank, bool hold) {
  std::lock_guard lock(mutex_);
  gpus_.at(rank)->held = hold;
  changed_.notify_all();
}
void NcclStandIn::compute(int rank, std::function<void()> work) {
  put(Task{Task::Kind::work, nullptr, 0, std::move(work)}, gpus_.at(rank)->streams.front().get());
}
void NcclStandIn::put(Task task, NcclCalls::Stream stream) {
  std::lock_guard lock(mutex_);
  if (task.kind == Task::Kind::record) ++task.event->recorded;
  if (task.event) task.time = task.event->recorded;
  stream->tasks.push_back(std::move(task));
  changed_.notify_all();
}
int NcclStandIn::misuses() {
  std::lock_guard lock(mutex_);
  return misuses_;
}
int NcclStandIn::communicators() {
  std::lock_guard lock(mutex_);
  return static_cast<int>(std::ranges::count_if(all_, [](const auto& one) { return !one->ended; }));
}

}  // namespace interlock
