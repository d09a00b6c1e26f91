#include "tests/support/device_run.h"

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include "parallel/plan/passes.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

struct Mismatch {
  std::string text;
};

using Value = std::pair<int, int64_t>;  // step, number in the step

struct Call {
  bool sends = false;
  int peer = -1;          // device; -1: a collective
  std::string meeting{};  // of a collective, the same on all members
  int members = 0;        // of a collective
  Value value{};          // of a message
  int64_t computed = 0;   // the compute that must be done before
};

struct Computation {
  std::vector<Value> values{};          // that are received
  std::vector<std::string> meetings{};  // that it waits for
};

struct Device {
  int replica, rank;
  int step = 0;
  size_t next = 0;  // of the list: where the host is
  int64_t issued = 0, computed = 0;
  std::deque<Computation> compute{};
  std::map<int, std::deque<Call>> streams{};
  std::set<Value> arrived{};
  std::set<std::string> met{};
  std::map<std::tuple<bool, int, int>, std::deque<Value>> unreceived{};  // by lane: forward, stage, stream
};

constexpr int collectives = -1;  // the stream

class DeviceRun {
 public:
  DeviceRun(const Plan& plan, int steps, uint64_t seed, StreamLayout layout)
      : plan_(plan), values_(plan.flows, plan.shape.microbatches), steps_(steps), layout_(layout), random_(seed) {
    for (int replica = 0; replica < plan.shape.replicas; ++replica)
      for (int rank = 0; rank < plan.shape.ranks; ++rank) devices_.push_back({.replica = replica, .rank = rank});
  }

  std::string run() {
    try {
      std::vector<size_t> order(devices_.size());
      for (size_t i = 0; i < order.size(); ++i) order[i] = i;
      for (bool moved = true; moved;) {
        moved = false;
        std::shuffle(order.begin(), order.end(), random_);
        for (const size_t i : order) moved = move(static_cast<int>(i)) || moved;
      }
    } catch (const Mismatch& mismatch) {
      return mismatch.text;
    }
    const bool ended = std::ranges::all_of(devices_, [&](const Device& device) {
      return device.step == steps_ && device.compute.empty() &&
             std::ranges::all_of(device.streams, [](const auto& stream) { return stream.second.empty(); });
    });
    return ended ? "" : "deadlock";
  }

 private:
  int device_of(const Device& device, int stage) const {
    return device.replica * plan_.shape.ranks + plan_.shape.rank_of(stage);
  }
  int stream_of(const Call& call) const {
    if (call.peer < 0) return collectives;
    return layout_ == StreamLayout::one ? 0 : 2 * call.peer + (call.sends ? 1 : 0);
  }

  // A little of what can be done: the host may run far ahead of its device, or not at all.
  bool move(int index) {
    Device& device = devices_[index];
    bool moved = false;
    for (int burst = static_cast<int>(random_() % 12); burst > 0 && host(device); --burst) moved = true;
    moved = host(device) || moved;
    while (!device.compute.empty() && may_compute(device)) {
      device.compute.pop_front();
      ++device.computed;
      moved = true;
    }
    for (auto& [number, stream] : device.streams)
      if (!stream.empty() && is_ready(device, stream.front())) moved = perform(index, stream.front()) || moved;
    return moved;
  }

  bool may_compute(const Device& device) const {
    const Computation& next = device.compute.front();
    return std::ranges::all_of(next.values, [&](const Value& value) { return device.arrived.contains(value); }) &&
           std::ranges::all_of(next.meetings, [&](const std::string& met) { return device.met.contains(met); });
  }
  static bool is_ready(const Device& device, const Call& call) { return device.computed >= call.computed; }

  // Performs one action of the list on the host; false when it has to wait or is through.
  bool host(Device& device) {
    if (device.step == steps_) return false;
    const Action& action = plan_.ranks[device.rank][device.next];
    if (is_send(action.kind) || is_receive(action.kind)) {
      if (!message(device, action)) return false;
    } else {
      compute(device, action);
    }
    if (++device.next == plan_.ranks[device.rank].size()) {
      device.next = 0;
      ++device.step;
    }
    return true;
  }

  bool message(Device& device, const Action& action) {
    const Need need = carried(action);
    const Value value{device.step, values_.at(need.stage, need.part, action.microbatch)};
    Call call{.sends = is_send(action.kind), .value = value, .computed = device.issued};
    if (call.sends) {
      auto& lane = device.unreceived[{action.kind == Kind::send_forward, action.stage, action.stream}];
      while (!lane.empty() && done_.contains({device.replica, lane.front()})) lane.pop_front();
      if (lane.size() >= 2) return false;
      lane.push_back(value);
      call.peer = device_of(device, action.kind == Kind::send_forward ? action.stage + 1 : action.stage - 1);
    } else {
      call.peer = device_of(device, need.stage);
    }
    device.streams[stream_of(call)].push_back(call);
    return true;
  }

  void compute(Device& device, const Action& action) {
    Computation work;
    if (action.kind <= Kind::backward) {
      visit_needs(plan_.flows, action, [&](const Need& need) {
        if (plan_.shape.rank_of(need.stage) != device.rank)
          work.values.push_back({device.step, values_.at(need.stage, need.part, action.microbatch)});
      });
    } else if (action.kind == Kind::reduce_gradient) {
      meet(device, work, interlock::message("grad ", action.stage, " ", device.step), plan_.shape.replicas);
    } else if (action.kind == Kind::reduce_tied) {
      const bool two = plan_.shape.rank_of(0) != plan_.shape.rank_of(plan_.shape.stages - 1);
      meet(device, work, interlock::message("tied ", device.replica, " ", device.step), two ? 2 : 1);
    } else if (action.kind == Kind::reduce_norm) {
      meet(device, work, interlock::message("norm ", device.replica, " ", device.step), plan_.shape.ranks);
    }
    device.compute.push_back(work);
    ++device.issued;
  }

  static void meet(Device& device, Computation& work, const std::string& name, int members) {
    device.streams[collectives].push_back({.meeting = name, .members = members, .computed = device.issued});
    work.meetings.push_back(name);
  }

  bool perform(int index, const Call& call) { return call.peer < 0 ? perform_meeting(call) : perform_message(index); }

  bool perform_meeting(const Call& call) {
    std::vector<Device*> members;
    for (Device& device : devices_) {
      const auto& stream = device.streams[collectives];
      if (!stream.empty() && stream.front().meeting == call.meeting && is_ready(device, stream.front()))
        members.push_back(&device);
    }
    if (static_cast<int>(members.size()) < call.members) return false;
    const std::string name = call.meeting;
    for (Device* member : members) {
      member->met.insert(name);
      member->streams[collectives].pop_front();
    }
    return true;
  }

  // The first call of any stream of this device that meets the first of the other one's.
  bool perform_message(int index) {
    for (auto& [number, stream] : devices_[index].streams) {
      if (number == collectives || stream.empty() || !is_ready(devices_[index], stream.front())) continue;
      const Call& call = stream.front();
      Device& other = devices_[call.peer];
      const Call mirrored{.sends = !call.sends, .peer = index};
      auto& opposite = other.streams[stream_of(mirrored)];
      if (opposite.empty() || !is_ready(other, opposite.front())) continue;
      if (opposite.front().peer != index || opposite.front().sends == call.sends) continue;
      if (opposite.front().value != call.value) throw Mismatch{"a message meets the receive of another one"};
      (call.sends ? other : devices_[index]).arrived.insert(call.value);
      done_.insert({devices_[index].replica, call.value});
      stream.pop_front();
      opposite.pop_front();
      return true;
    }
    return false;
  }

  const Plan& plan_;
  const Values values_;
  const int steps_;
  const StreamLayout layout_;
  std::mt19937_64 random_;
  std::vector<Device> devices_;
  std::set<std::pair<int, Value>> done_;  // received, by replica
};

}  // namespace

std::string run_on_devices(const Plan& plan, int steps, uint64_t seed, StreamLayout layout) {
  return DeviceRun(plan, steps, seed, layout).run();
}

}  // namespace interlock
