#include "runtime/optimization/squares.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <algorithm>

namespace interlock {
namespace {

void block_squares_on_cpu(const at::Tensor& numbers, int64_t block, at::Tensor& out) {
  constexpr int64_t worth_a_thread = int64_t{1} << 16;  // elements: some 20 us
  auto* sums = out.mutable_data_ptr<double>();
  AT_DISPATCH_FLOATING_TYPES(numbers.scalar_type(), "block_squares", [&] {
    const auto* from = numbers.const_data_ptr<scalar_t>();
    at::parallel_for(0, out.numel(), std::max<int64_t>(1, worth_a_thread / block), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        sums[i] = sum_of_squares(from + i * block, std::min(block, numbers.numel() - i * block));
    });
  });
}

TORCH_LIBRARY_FRAGMENT(interlock, library) {
  library.def("block_squares_(Tensor numbers, int block, Tensor(a!) out) -> ()");
}
TORCH_LIBRARY_IMPL(interlock, CPU, library) { library.impl("block_squares_", TORCH_FN(block_squares_on_cpu)); }

}  // namespace

void block_squares(const at::Tensor& numbers, int64_t block, at::Tensor out) {
  static const auto operation = c10::Dispatcher::singleton()
                                    .findSchemaOrThrow("interlock::block_squares_", "")
                                    .typed<void(const at::Tensor&, int64_t, at::Tensor&)>();
  const at::AutoDispatchBelowADInplaceOrView below;
  operation.call(numbers, block, out);
}

}  // namespace interlock
