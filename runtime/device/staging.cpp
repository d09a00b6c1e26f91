#include "runtime/device/staging.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace interlock {

at::Tensor host_memory(at::IntArrayRef shape, at::ScalarType type, at::Device device) {
  return at::empty(shape, at::TensorOptions().dtype(type).pinned_memory(!device.is_cpu()));
}

at::Tensor on_host(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return tensor.contiguous();
  const c10::NoGradGuard no_graph;
  at::Tensor host = host_memory(tensor.sizes(), tensor.scalar_type(), tensor.device());
  copy_later(host, tensor);
  mark(tensor.device()).synchronize();
  return host;
}

void copy_later(const at::Tensor& host, const at::Tensor& tensor) {
  const c10::NoGradGuard no_graph;
  const_cast<at::Tensor&>(host).copy_(tensor, /*non_blocking=*/true);
}

c10::Event mark(at::Device device) {
  const c10::impl::VirtualGuardImpl guard(device.type());
  c10::Event event(device.type());
  event.record(guard.getStream(device));
  return event;
}

// What a copy reads is kept by LibTorch's allocator of such memory until it was read, whoever lets go of it before.
at::Tensor on_device(const at::Tensor& host, at::Device device) {
  if (!host.defined() || device.is_cpu()) return host;
  at::Tensor locked = host;
  if (!host.is_pinned()) {
    locked = host_memory(host.sizes(), host.scalar_type(), device);
    locked.copy_(host);
  }
  return locked.to(device, /*non_blocking=*/true);
}

void copy_to(const at::Tensor& to, const at::Tensor& host) {
  const c10::NoGradGuard no_graph;
  to.copy_(host, /*non_blocking=*/!to.is_cpu() && host.is_pinned());
}

}  // namespace interlock
