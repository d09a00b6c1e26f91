#pragma once
// What carries activations, gradients and sums of gradients where ranks compute on GPUs: NCCL if it can, else the
// host's transport, through copies in host memory.

#include <memory>
#include <string>

#include "launch/settings/run_settings.h"
#include "parallel/transport/nccl/calls.h"
#include "parallel/transport/transport.h"
#include "runtime/device/device.h"

namespace interlock {

struct DeviceTransport {
  std::shared_ptr<NcclCalls> calls;      // outlives the transport
  std::unique_ptr<Transport> transport;  // null: the host's carries everything
  std::string reason;                    // why, for people; the same on all ranks
};

// Before anything starts or is written: Error(config) where parallel.transport = "nccl" cannot be had in this place.
void check_nccl(const RunSettings& settings);

// NCCL of the CUDA module; null, and why, where there is none.
std::shared_ptr<NcclCalls> module_nccl(const Device& device, std::string& problem);

// All ranks call it with their device; `calls` null: there is no NCCL, for `problem`. Error(config) where
// parallel.transport = "nccl" cannot be had: it says why, and what to do.
DeviceTransport choose_device_transport(const RunSettings& settings, Transport& host, const Device& device,
                                        std::shared_ptr<NcclCalls> calls, const std::string& problem);

}  // namespace interlock
