#include "parallel/keeping/readout_copies.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>

#include "parallel/stage/stage.h"
#include "parallel/transport/control_lanes.h"
#include "runtime/core/error.h"
#include "runtime/device/staging.h"

namespace interlock {
namespace {

void by_name(std::vector<std::pair<std::string, at::Tensor>>& tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
}

std::string description(const std::vector<std::pair<std::string, at::Tensor>>& tensors) {
  std::string text;
  for (const auto& [name, tensor] : tensors)
    text += message(text.empty() ? "" : ", ", name, " ", c10::toString(tensor.scalar_type()), " ", tensor.sizes());
  return text;
}

// The bytes of one packed tensor, seen as a tensor of the host like `copy`; they must outlive it.
at::Tensor bytes_as(const at::Tensor& copy, const std::byte* bytes) {
  return at::from_blob(const_cast<std::byte*>(bytes), copy.sizes(),
                       copy.options().device(at::kCPU).requires_grad(false));
}

}  // namespace

ReadoutCopies::ReadoutCopies(RankContext& context, int64_t refresh_every) : context_(context), every_(refresh_every) {
  for (auto& stage : context.stages)
    if (Copies copies = stage->readout_copies(); !copies.empty()) {
      by_name(copies);
      if (!copies_.empty() && description(copies) != description(copies_.front()))
        throw Error(ExitCode::gave_up, message("stage ", stage->index(), " copies of the readout ", description(copies),
                                               ", another stage of this rank ", description(copies_.front())));
      copies_.push_back(std::move(copies));
    }
  const Topology& topology = context.topology;
  source_ = topology.world_rank_of(topology.shape.stages - 1);
  const std::vector<std::string> who = context.pipeline.all_gather(copies_.empty() ? "" : "holds");
  for (size_t rank = 0; rank < who.size(); ++rank)
    if (!who[rank].empty()) holders_.push_back(topology.replica() * topology.shape.ranks + static_cast<int>(rank));
}

MessageHeader ReadoutCopies::header(uint64_t bytes) const {
  MessageHeader header;
  header.run = context_.run;
  header.lane = readout_copy_lane;
  header.bytes = bytes;
  return header;
}

uint64_t ReadoutCopies::bytes_of(const Copies& copies) const {
  uint64_t bytes = 0;
  for (const auto& [name, copy] : copies) bytes += copy.nbytes();
  return bytes;
}

// The last stage's readout, by name: the order in which holders keep their copies.
Buffer ReadoutCopies::pack() {
  Stage& last = *context_.stages.back();
  if (!last.head_is_readout())
    throw Error(ExitCode::gave_up, message("stage ", last.index(), ", the last, has no readout to copy"));
  Copies values = last.head_tensors();
  by_name(values);
  if (!copies_.empty() && description(values) != description(copies_.front()))
    throw Error(ExitCode::gave_up,
                message("the readout has ", description(values), ", but its copies ", description(copies_.front())));
  Buffer packed = Buffer::allocate(bytes_of(values));
  std::byte* to = packed.data;
  for (const auto& [name, value] : values) {
    std::memcpy(to, on_host(value).data_ptr(), value.nbytes());
    to += value.nbytes();
  }
  return packed;
}

// Of as many bytes as the copies have: the transport refuses a message of another size, and pack() values of its own.
void ReadoutCopies::install(const Buffer& packed) {
  const c10::NoGradGuard no_graph;
  for (const Copies& copies : copies_) {
    const std::byte* from = packed.data;
    for (const auto& [name, copy] : copies) {
      copy.copy_(bytes_as(copy, from));
      from += copy.nbytes();
    }
  }
}

void ReadoutCopies::arrive() {
  if (arriving_) arriving_->wait();
  arriving_.reset();
}

void ReadoutCopies::after_step(int64_t step) {
  if (!due_after(step)) return;
  const int here = context_.topology.world_rank;
  if (!copies_.empty()) {
    arrive();
    if (next_.data != nullptr) install(next_);
    next_ = {};
    if (here != source_) {
      next_ = Buffer::allocate(bytes_of(copies_.front()));
      arriving_ = context_.transport.receive(source_, header(next_.bytes), next_);
    }
  }
  if (here != source_) return;
  const Buffer packed = pack();
  if (!copies_.empty()) next_ = packed;
  while (!sending_.empty() && sending_.front()->done()) {
    sending_.front()->wait();
    sending_.pop_front();
  }
  for (const int holder : holders_)
    if (holder != here) sending_.push_back(context_.transport.send(holder, header(packed.bytes), packed));
}

void ReadoutCopies::drain() {
  arrive();
  for (auto& handle : sending_) handle->wait();
  sending_.clear();
}

ReadoutCopies::Copies ReadoutCopies::copied() const { return copies_.empty() ? Copies{} : copies_.front(); }

std::vector<ReadoutCopies::Values> ReadoutCopies::values() {
  if (holders_.empty() || holders_.front() != context_.topology.world_rank) return {};
  arrive();
  std::vector<Values> values;
  const std::byte* from = next_.data;
  for (const auto& [name, copy] : copies_.front()) {
    values.push_back({name, copy, {}});
    if (from == nullptr) continue;
    values.back().next = bytes_as(copy, from).clone();
    from += copy.nbytes();
  }
  return values;
}

void ReadoutCopies::restore(const std::vector<Values>& values) {
  if (copies_.empty() || values.empty()) return;
  c10::NoGradGuard no_graph;
  for (const Copies& copies : copies_)
    for (size_t i = 0; i < copies.size(); ++i) copies[i].second.copy_(values.at(i).current);
  next_ = {};
  if (!values.front().next.defined()) return;
  next_ = Buffer::allocate(bytes_of(copies_.front()));
  std::byte* to = next_.data;
  for (size_t i = 0; i < values.size(); ++i) {
    const at::Tensor typed = on_host(values[i].next.to(copies_.front()[i].second.scalar_type()));
    std::memcpy(to, typed.data_ptr(), typed.nbytes());
    to += typed.nbytes();
  }
}

}  // namespace interlock
