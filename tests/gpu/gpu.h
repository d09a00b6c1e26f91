#pragma once
// Tests that need a GPU begin with NEEDS_GPU: they are skipped with the reason where there is none.

#include <gtest/gtest.h>

#include <exception>
#include <string>

#include "runtime/device/cuda_driver.h"
#include "runtime/device/device.h"

namespace interlock {

// The GPU of these tests, made this thread's.
inline Device gpu_for_test() { return choose_device("cuda", 0); }

}  // namespace interlock

#define NEEDS_GPU() \
  if (const auto driver = interlock::ask_cuda_driver(); driver.gpus == 0) GTEST_SKIP() << driver.problem
