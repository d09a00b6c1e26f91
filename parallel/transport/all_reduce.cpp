// A reduce-scatter along equal shares, then an all-gather of them. Both travel from and into the values themselves: a
// share's sums are asked for once the values that they replace have left.
#include <algorithm>
#include <cassert>

#include "parallel/transport/message_collectives.h"

namespace interlock {
namespace {

std::vector<Group::Range> equal_shares(size_t count, int members) {
  std::vector<Group::Range> shares;
  for (int member = 0; member < members; ++member)
    shares.push_back({count * member / members, count * (member + 1) / members, member});
  return shares;
}

template <class T>
std::vector<Group::Shard> bytes_of(std::span<T> values, const std::vector<Group::Range>& ranges) {
  std::vector<Group::Shard> shards;
  for (const auto& [begin, end, owner] : ranges)
    shards.push_back({std::as_writable_bytes(values.subspan(begin, end - begin)), owner});
  return shards;
}

}  // namespace

template <class T>
Group::AllReduce<T>::AllReduce(Group& group, std::span<T> values, std::shared_ptr<void> keep_alive)
    : group_(group),
      number_(group.all_reduces_++),
      scatter_(group, values, equal_shares(values.size(), group.size()), keep_alive),
      gather_(group, late_phase, bytes_of(values, equal_shares(values.size(), group.size())), keep_alive),
      asked_(group.size(), false) {
  group.sums_asked_.resize(group.size());
  asked_[group.position_] = true;
}

template <class T>
bool Group::AllReduce<T>::advance() {
  if (done_) return true;
  if (!scatter_.summed() && may_send() && scatter_.parts_came()) send_sums();
  for (int member = 0; member < group_.size(); ++member)
    if (may_ask(member) && scatter_.sent_to(member).done()) ask(member);
  const bool posted = scatter_.summed() && std::ranges::find(asked_, false) == asked_.end();
  if (posted && gather_.advance()) done_ = true;
  return done_;
}

template <class T>
void Group::AllReduce<T>::finish() {
  if (done_) return;
  assert((scatter_.summed() || may_send()) && "all-reduces are finished in the order in which they began");
  if (!scatter_.summed()) send_sums();
  for (int member = 0; member < group_.size(); ++member)
    if (!asked_[member]) ask(member);
  gather_.finish();
  done_ = true;
}

template <class T>
void Group::AllReduce<T>::send_sums() {
  scatter_.sum();
  gather_.send_own();
  ++group_.sums_sent_;
}

template <class T>
void Group::AllReduce<T>::ask(int member) {
  scatter_.sent_to(member).wait();
  gather_.receive_from(member);
  ++group_.sums_asked_[member];
  asked_[member] = true;
}

std::unique_ptr<Collective> Group::begin_all_reduce(std::span<float> values, std::shared_ptr<void> keep_alive) {
  ++operation_;
  return std::make_unique<AllReduce<float>>(*this, values, std::move(keep_alive));
}
std::unique_ptr<Collective> Group::begin_all_reduce(std::span<double> values, std::shared_ptr<void> keep_alive) {
  ++operation_;
  return std::make_unique<AllReduce<double>>(*this, values, std::move(keep_alive));
}

}  // namespace interlock
