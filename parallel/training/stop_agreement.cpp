#include "parallel/training/stop_agreement.h"

#include <algorithm>
#include <cstring>

#include "parallel/transport/control_lanes.h"

namespace interlock {

StopAgreement::StopAgreement(Transport& transport, uint64_t run, int64_t first, std::function<bool()> wanted)
    : transport_(transport), run_(run), wanted_(std::move(wanted)), first_(first), posted_(first) {
  if (transport_.rank() == 0) return;
  for (int64_t i = 0; i <= lead; ++i) post();
}

MessageHeader StopAgreement::header(int64_t decided_after) const {
  MessageHeader header;
  header.run = run_;
  header.step = decided_after;
  header.lane = stop_decision_lane;
  header.bytes = 1;
  return header;
}

void StopAgreement::post() {
  Incoming next{Buffer::allocate(1), nullptr};
  next.handle = transport_.receive(0, header(posted_++), next.answer);
  incoming_.push_back(std::move(next));
}

bool StopAgreement::stops_after(int64_t step) {
  if (transport_.rank() != 0) {
    if (step < first_ + lead) return false;  // decided before this run began: to go on
    incoming_.front().handle->wait();
    const bool stop = incoming_.front().answer.data[0] != std::byte{0};
    incoming_.pop_front();
    if (!stop) post();
    return stop;
  }
  if (stop_at_ < 0 && wanted_ && wanted_()) stop_at_ = step + lead;
  Buffer answer = Buffer::allocate(1);
  answer.data[0] = std::byte{stop_at_ == step + lead};
  const bool told = stop_at_ >= 0 && step + lead > stop_at_;  // nobody will look at later decisions
  if (!told)
    for (int to = 1; to < transport_.size(); ++to) sending_[step].push_back(transport_.send(to, header(step), answer));
  while (!sending_.empty()) {
    auto& oldest = sending_.begin()->second;
    while (!oldest.empty() && oldest.back()->done()) {
      oldest.back()->wait();
      oldest.pop_back();
    }
    if (!oldest.empty()) break;
    sending_.erase(sending_.begin());
  }
  return stop_at_ == step;
}

void StopAgreement::close(int64_t step) {
  if (transport_.rank() != 0) {
    for (Incoming& incoming : incoming_) incoming.handle->wait();
    incoming_.clear();
    return;
  }
  // `posted_` of the others; one that stops asks for no more.
  const int64_t asked = stop_at_ == step ? step + 1 : std::max(step + 2, first_ + lead + 1);
  const int64_t told = stop_at_ >= 0 ? stop_at_ - lead : step;  // the last decision sent
  Buffer answer = Buffer::allocate(1);
  answer.data[0] = std::byte{0};
  for (int64_t decided = told + 1; decided < asked; ++decided)
    for (int to = 1; to < transport_.size(); ++to)
      sending_[decided].push_back(transport_.send(to, header(decided), answer));
}

void StopAgreement::drain() {
  for (auto& [step, handles] : sending_)
    for (auto& handle : handles) handle->wait();
  sending_.clear();
}

}  // namespace interlock
