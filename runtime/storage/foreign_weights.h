#pragma once
// Folders of other programs wherever weights are opened: who reads them says so here, and WeightsSet::open asks.

#include <functional>
#include <memory>
#include <string>

#include "runtime/storage/weights_set.h"

namespace interlock {

// `open` returns null for a folder that is none of its own. To be called before any is opened.
void read_foreign_weights_by(std::function<std::shared_ptr<const WeightsSet>(const std::string& path)> open);

}  // namespace interlock
