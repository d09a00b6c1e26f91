#pragma once
// Numbers of a type as float, and sums over a warp or a block in a fixed order. Internal to this room.

#include <cuda_bf16.h>

#include <cstdint>

#include "models/kernels/launches.h"

namespace interlock::kernels {

__device__ inline float load(const float* x) { return *x; }
__device__ inline float load(const __nv_bfloat16* x) { return __bfloat162float(*x); }
__device__ inline void store(float* x, float value) { *x = value; }
__device__ inline void store(__nv_bfloat16* x, float value) { *x = __float2bfloat16_rn(value); }

// Four numbers that lie together, as one access to memory. They begin at a multiple of their size.
template <class T>
struct alignas(4 * sizeof(T)) Four {
  T number[4];
};

template <class T>
__device__ void load_four(const T* from, float (&to)[4]) {
  const Four<T> four = *reinterpret_cast<const Four<T>*>(from);
  for (int i = 0; i < 4; ++i) to[i] = load(&four.number[i]);
}
template <class T>
__device__ void store_four(T* to, const float (&from)[4]) {
  Four<T> four;
  for (int i = 0; i < 4; ++i) store(&four.number[i], from[i]);
  *reinterpret_cast<Four<T>*>(to) = four;
}
// Whether rows that begin every `stride` numbers consist of such.
template <class T>
bool in_fours(const T* rows, int64_t stride) {
  return stride % 4 == 0 && reinterpret_cast<uintptr_t>(rows) % sizeof(Four<T>) == 0;
}

constexpr int warp_size = 32;
constexpr unsigned whole_warp = 0xffffffffu;

// What `combined` makes of the values of all threads of a warp, on every thread: the same tree each time.
template <class Value>
__device__ Value over_warp(Value mine) {
  static_assert(sizeof(Value) % sizeof(float) == 0);
  for (int distance = warp_size / 2; distance > 0; distance /= 2) {
    Value other;
    for (unsigned i = 0; i < sizeof(Value) / sizeof(float); ++i)
      reinterpret_cast<float*>(&other)[i] =
          __shfl_xor_sync(whole_warp, reinterpret_cast<const float*>(&mine)[i], distance);
    // The lower lane's value comes first on both sides, so that both have the same bits.
    mine = (threadIdx.x & static_cast<unsigned>(distance)) == 0 ? combined(mine, other) : combined(other, mine);
  }
  return mine;
}

// The same over a block of up to 32 warps; every thread of it calls.
template <class Value>
__device__ Value over_block(Value mine) {
  __shared__ __align__(16) unsigned char memory[warp_size * sizeof(Value)];
  auto* of_warp = reinterpret_cast<Value*>(memory);
  mine = over_warp(mine);
  if (threadIdx.x % warp_size == 0) of_warp[threadIdx.x / warp_size] = mine;
  __syncthreads();
  const unsigned warps = blockDim.x / warp_size, lane = threadIdx.x % warp_size;
  mine = over_warp(lane < warps ? of_warp[lane] : Value{});
  __syncthreads();
  return mine;
}

// act(a null pointer of the type's numbers).
template <class Act>
void of_type(Type type, const Act& act) {
  if (type == Type::bfloat16) {
    act(static_cast<__nv_bfloat16*>(nullptr));
  } else {
    act(static_cast<float*>(nullptr));
  }
}

inline unsigned blocks_for(int64_t items, int64_t in_block) {
  return static_cast<unsigned>((items + in_block - 1) / in_block);
}

}  // namespace interlock::kernels
