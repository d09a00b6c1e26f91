// One thread per counter, which is four numbers of a sample.
#include <algorithm>

#include "models/kernels/bodies.h"
#include "models/kernels/elements.cuh"

namespace interlock::kernels {
namespace {

constexpr int threads = 256;

template <class T>
__global__ void drop_kernel(const T* x, T* out, int64_t count, int64_t counters, int64_t all, const int64_t* numbers,
                            uint64_t key, uint32_t threshold, float factor) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * threads;
  for (int64_t at = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x; at < all; at += stride) {
    const int64_t sample = at / counters, counter = at % counters, first = sample * count + 4 * counter;
    const Words words = philox_words(key, static_cast<uint64_t>(numbers[sample]), static_cast<uint64_t>(counter));
    const int64_t left = count - 4 * counter;
    for (int i = 0; i < 4 && i < left; ++i)
      store(out + first + i, dropped(words.word[i], threshold, load(x + first + i), factor));
  }
}

template <class T>
__global__ void mark_kernel(T* x, int64_t count, int64_t counters, int64_t all, const int64_t* numbers, uint64_t key,
                            uint32_t threshold) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * threads;
  for (int64_t at = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x; at < all; at += stride) {
    const int64_t sample = at / counters, counter = at % counters, first = sample * count + 4 * counter;
    const Words words = philox_words(key, static_cast<uint64_t>(numbers[sample]), static_cast<uint64_t>(counter));
    const int64_t left = count - 4 * counter;
    for (int i = 0; i < 4 && i < left; ++i)
      if (words.word[i] < threshold) store(x + first + i, -load(x + first + i));
  }
}

unsigned grid_for(int64_t all) { return std::min(blocks_for(all, threads), 132u * 64u); }

}  // namespace

void drop(const void* x, void* out, Type type, int64_t samples, int64_t count, const int64_t* numbers, uint64_t key,
          uint32_t threshold, float factor, cudaStream_t stream) {
  const int64_t counters = (count + 3) / 4, all = samples * counters;
  if (all == 0) return;
  of_type(type, [&](auto* number) {
    using T = std::remove_pointer_t<decltype(number)>;
    drop_kernel<T><<<grid_for(all), threads, 0, stream>>>(static_cast<const T*>(x), static_cast<T*>(out), count,
                                                          counters, all, numbers, key, threshold, factor);
  });
}

void mark_dropped(void* x, Type type, int64_t samples, int64_t count, const int64_t* numbers, uint64_t key,
                  uint32_t threshold, cudaStream_t stream) {
  const int64_t counters = (count + 3) / 4, all = samples * counters;
  if (all == 0) return;
  of_type(type, [&](auto* number) {
    using T = std::remove_pointer_t<decltype(number)>;
    mark_kernel<T>
        <<<grid_for(all), threads, 0, stream>>>(static_cast<T*>(x), count, counters, all, numbers, key, threshold);
  });
}

}  // namespace interlock::kernels
