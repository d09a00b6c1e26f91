#pragma once
// Every named tensor that a stage holds: what trains, what is frozen, what is a buffer. Weights files, checkpoints and
// digests are made of it; what trains are groups over it (trainable_group.h).

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <string>
#include <unordered_map>
#include <vector>

namespace interlock {

class ParameterStore {
 public:
  enum class Kind {
    trained,  // asks for a gradient
    frozen,   // a parameter that does not: it keeps its bits, has no gradient and no optimizer state
    buffer,   // no parameter (running statistics)
  };
  struct Entry {
    std::string name;  // global
    at::Tensor value;  // the module's own
    Kind kind = Kind::trained;
    bool stored = true;    // in weights files and checkpoints; false: another stage stores the same tensor
    at::Tensor copy = {};  // the values in the type of products, once somebody asked for it
  };

  // Lists the parameters and buffers of a module, in its order. Error(gave_up) for a name that is there already.
  void add(const torch::nn::Module& module);

  const std::vector<Entry>& entries() const { return entries_; }
  // Error(gave_up) names what is not there.
  Entry& entry(const std::string& name);
  const Entry& entry(const std::string& name) const;
  // The entry of a module's tensor; null for one that is not listed (a copy of another stage's readout).
  Entry* find(const at::Tensor& value);

  // The values of an entry in `type`: themselves, or a copy that is made once and refreshed after an update. Products
  // of a run in bfloat16 would otherwise convert every weight for every microbatch.
  at::Tensor values(Entry& entry, at::ScalarType type);
  // After these values, tensors of modules, were written: their copies follow.
  void refresh(const std::vector<at::Tensor>& written);

 private:
  void add(const std::string& name, const at::Tensor& value, Kind kind);

  std::vector<Entry> entries_;
  std::unordered_map<std::string, size_t> by_name_;
  std::unordered_map<const void*, size_t> by_tensor_;
};

}  // namespace interlock
