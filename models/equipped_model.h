#pragma once
// A model with insertions of techniques at its sites: its slices are built with them, and its costs count them.

#include <functional>
#include <memory>
#include <vector>

#include "models/insertion.h"
#include "models/model.h"

namespace interlock {

// What is put at a site, in the order in which it acts; empty: nothing. Asked anew for every slice.
using InsertionsAt = std::function<std::vector<std::shared_ptr<Insertion>>(const InsertionSite&)>;

// `model` with these; their start values are keyed by (seed, global name). `model` itself where nothing is inserted.
std::shared_ptr<Model> equip(std::shared_ptr<Model> model, InsertionsAt insertions, uint64_t seed);

}  // namespace interlock
