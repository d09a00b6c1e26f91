#include "parallel/stage/parameter_store.h"

#include <ATen/ops/_foreach_copy.h>
#include <c10/core/GradMode.h>

#include "runtime/core/error.h"

namespace interlock {

void ParameterStore::add(const torch::nn::Module& module) {
  for (const auto& named : module.named_parameters())
    add(named.key(), named.value(), named.value().requires_grad() ? Kind::trained : Kind::frozen);
  for (const auto& named : module.named_buffers()) add(named.key(), named.value(), Kind::buffer);
}

void ParameterStore::add(const std::string& name, const at::Tensor& value, Kind kind) {
  if (!by_name_.emplace(name, entries_.size()).second)
    throw Error(ExitCode::gave_up, message("two tensors of one stage are named ", name, ": a mistake of the model"));
  by_tensor_.emplace(value.unsafeGetTensorImpl(), entries_.size());
  entries_.push_back({name, value, kind});
}

const ParameterStore::Entry& ParameterStore::entry(const std::string& name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) throw Error(ExitCode::gave_up, message("no tensor of this stage is named ", name));
  return entries_[found->second];
}

ParameterStore::Entry& ParameterStore::entry(const std::string& name) {
  return const_cast<Entry&>(std::as_const(*this).entry(name));
}

ParameterStore::Entry* ParameterStore::find(const at::Tensor& value) {
  const auto found = by_tensor_.find(value.unsafeGetTensorImpl());
  return found == by_tensor_.end() ? nullptr : &entries_[found->second];
}

at::Tensor ParameterStore::values(Entry& entry, at::ScalarType type) {
  if (entry.value.scalar_type() == type) return entry.value;
  if (!entry.copy.defined() || entry.copy.scalar_type() != type) entry.copy = entry.value.detach().to(type);
  return entry.copy;
}

void ParameterStore::refresh(const std::vector<at::Tensor>& written) {
  c10::NoGradGuard no_graph;
  std::vector<at::Tensor> copies, values;
  for (const at::Tensor& value : written) {
    const Entry* entry = find(value);
    if (entry == nullptr || !entry->copy.defined()) continue;
    copies.push_back(entry->copy);
    values.push_back(entry->value);
  }
  if (!copies.empty()) at::_foreach_copy_(copies, values);  // on a GPU a few launches for all
}

}  // namespace interlock
