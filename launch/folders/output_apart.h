#pragma once
// Where an output may not go: over what it is made of.

#include <string>
#include <vector>

namespace interlock {

// Error(usage), which names `option`, when `output` is one of `sources` by whatever name, or replaces a file that a
// source that is a folder (a run, a model) consists of. An empty `output` is none, and neither are empty sources.
void refuse_over_sources(const std::string& option, const std::string& output, const std::vector<std::string>& sources);
// Error(usage) when two outputs are one file, be it there already or not.
void refuse_same_output(const std::string& option, const std::string& output, const std::string& other_option,
                        const std::string& other);

}  // namespace interlock
