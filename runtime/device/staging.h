#pragma once
// Tensors between a device and the host's memory. On the CPU everything here is the tensor itself: nothing is copied.

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

namespace interlock {

// The same numbers in the host's memory, contiguous, there when it returns. Of a tensor of the CPU: itself.
at::Tensor on_host(const at::Tensor& tensor);

// Uninitialised memory of the host for such a tensor: 64-byte aligned; locked to its place where it will be copied from
// or to `device`.
at::Tensor host_memory(at::IntArrayRef shape, at::ScalarType type, at::Device device);

// The numbers of a tensor of the host on `device`, for later work of the calling thread's stream there; the host goes
// on at once. On the CPU: itself. Undefined stays undefined.
at::Tensor on_device(const at::Tensor& host, at::Device device);
// The same into a tensor that is there already, of any device.
void copy_to(const at::Tensor& to, const at::Tensor& host);
// The numbers of a tensor of a device into host_memory(), once its stream gets there: wait for a mark() behind it.
void copy_later(const at::Tensor& host, const at::Tensor& tensor);

// An event behind all that the calling thread has asked of the device; not for the CPU.
c10::Event mark(at::Device device);

}  // namespace interlock
