#pragma once
// How much of the global gradient a rule gives each stage (--diagnostics).

#include <cstdint>
#include <map>
#include <string>

namespace interlock {

// By stage: the cosine between the gradient of its body under the run's rule and under global learning, both summed
// over the same held-out samples (those that validation sees, `samples` at most) at the trained weights, without
// dropout. Stages that learn nothing are left out. From plain autograd through the whole network. Error(bad_input) for
// weights that do not fit.
std::map<int, double> gradient_cosines(const std::string& folder, int64_t samples);

// Kept beside the run folder by the digest of its weights.
std::map<int, double> gradient_cosines_once(const std::string& folder, const std::string& digest, int64_t samples);

}  // namespace interlock
