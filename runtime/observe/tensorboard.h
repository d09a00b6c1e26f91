#pragma once
// The parts of TensorBoard's format that only the metrics writer and its test need (the rest: metrics.h).

#include <cstdint>
#include <string>

namespace interlock {

uint32_t crc32c(const std::string& bytes);
std::string tensorboard_version_event(double wall_time);  // must be the first record of a file
// A run starts here (again): TensorBoard then forgets what earlier files say about `step` and later ones.
std::string tensorboard_start_event(double wall_time, int64_t step);

}  // namespace interlock
