#pragma once
// The numbers of a tensor as collectives take them: where they are, or, in collectives on the host's memory, those of a
// device through a copy there. Internal to engine/*.cpp.

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <utility>

#include "parallel/transport/collectives.h"
#include "runtime/device/staging.h"

namespace interlock {

// act(span of the numbers, owner that keeps them alive) for a contiguous tensor of float or double.
template <class Act>
auto with_numbers(const at::Tensor& tensor, Act act) {
  const auto owner = std::make_shared<at::Tensor>(tensor);
  const auto count = static_cast<size_t>(tensor.numel());
  if (tensor.scalar_type() == at::kDouble) return act(std::span(tensor.data_ptr<double>(), count), owner);
  return act(std::span(tensor.data_ptr<float>(), count), owner);
}

// A collective over the host's copy of a tensor, which is written back when it is done.
class StagedCollective final : public Collective {
 public:
  StagedCollective(at::Tensor tensor, at::Tensor host, std::unique_ptr<Collective> collective)
      : tensor_(std::move(tensor)), host_(std::move(host)), collective_(std::move(collective)) {}
  bool advance() override {
    if (collective_ && collective_->advance()) write_back();
    return !collective_;
  }
  void finish() override {
    if (!collective_) return;
    collective_->finish();
    write_back();
  }

 private:
  void write_back() {
    copy_to(tensor_, host_);
    collective_.reset();
  }

  at::Tensor tensor_, host_;
  std::unique_ptr<Collective> collective_;
};

// Begins a collective over the numbers of a contiguous tensor; begin(tensor) starts it, on this tensor where they are
// taken `in_place`, else on the host's.
template <class Begin>
std::unique_ptr<Collective> begin_over(const at::Tensor& tensor, bool in_place, Begin begin) {
  if (in_place) return begin(tensor);
  const at::Tensor host = on_host(tensor);
  std::unique_ptr<Collective> collective = begin(host);
  if (tensor.is_cpu()) return collective;
  return std::make_unique<StagedCollective>(tensor, host, std::move(collective));
}

// Sums a contiguous tensor in place, for later work of its device.
inline void sum_over(Collectives& members, bool in_place, const at::Tensor& tensor) {
  begin_over(tensor, in_place, [&](const at::Tensor& where) {
    return with_numbers(where,
                        [&](auto numbers, const auto& owner) { return members.begin_all_reduce(numbers, owner); });
  })->join();
}

}  // namespace interlock
