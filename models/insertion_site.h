#pragma once
// Where a technique may act inside a network, and where a parameter stands.

#include <cstdint>
#include <optional>
#include <string>

namespace interlock {

// A place in a network where something may be inserted.
struct InsertionSite {
  enum class Kind {
    linear,     // a linear layer: what its product uses, and what follows it
    sub_layer,  // what attention or the feed-forward part has made, after its dropout, before it joins the residual
    layer,      // what a whole layer has made
  };
  Kind kind = Kind::linear;
  std::string name;                 // global, of the module
  int64_t unit = 0;                 // of the model, that holds it
  int64_t layer = 0;                // that it is in
  int64_t place = 0;                // within the layer: keys draws
  int64_t inputs = 0, outputs = 0;  // widths of what goes in and of what comes out
};

// Where a parameter stands.
struct ParameterPlace {
  std::string name;              // global
  bool in_body = true;           // else of the readout or a local head
  std::optional<int64_t> layer;  // of the body, where it is in one
  bool inserted = false;
};

}  // namespace interlock
