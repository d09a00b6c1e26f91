#pragma once
// The keys that a config may have, asked of the parts themselves.

#include <string>
#include <vector>

namespace interlock {

// "section.key", sorted: what any model, dataset, objective, rule and optimizer asks for. Arrays of tables
// ([[technique]], [[learning.change]]) are left out.
std::vector<std::string> known_keys();

}  // namespace interlock
