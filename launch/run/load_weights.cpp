#include "launch/run/load_weights.h"

#include <c10/core/GradMode.h>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"
#include "runtime/core/printable.h"
#include "runtime/storage/tensors/tensor_entry.h"

namespace interlock {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::vector<std::string> sizes;
  for (const int64_t size : shape) sizes.push_back(std::to_string(size));
  return "[" + join(sizes) + "]";
}

std::string some_of(std::vector<std::string> names) {
  const size_t shown = std::min<size_t>(names.size(), 5), rest = names.size() - shown;
  names.resize(shown);
  for (std::string& name : names) name = printable(name);
  return join(names) + (rest > 0 ? message(" and ", rest, " more") : "");
}

const TensorEntry* stored_weight(const std::string& parameter, const WeightsSet& weights, const std::optional<Tie>& tie,
                                 const std::vector<std::pair<std::string, std::string>>& aliases) {
  if (tie && parameter == tie->readout) return weights.find(tie->body);
  for (const auto& [alias, name] : aliases)
    if (name == parameter)
      if (const TensorEntry* entry = weights.find(alias)) return entry;
  return weights.find(parameter);
}

namespace {

using Named = std::vector<std::pair<std::string, at::Tensor>>;

Named parameters_and_buffers(const torch::nn::Module& module) {
  Named all;
  for (const auto& named : module.named_parameters()) all.emplace_back(named.key(), named.value());
  for (const auto& named : module.named_buffers()) all.emplace_back(named.key(), named.value());
  return all;
}

}  // namespace

std::vector<std::string> load_weights(torch::nn::Module& module, const WeightsSet& weights,
                                      const std::optional<Tie>& tie,
                                      const std::vector<std::pair<std::string, std::string>>& aliases,
                                      const MayBeAbsent& may_be_absent) {
  c10::NoGradGuard no_graph;
  std::vector<std::string> absent;
  for (const auto& [name, value] : parameters_and_buffers(module)) {
    const TensorEntry* entry = stored_weight(name, weights, tie, aliases);
    if (entry == nullptr && may_be_absent && may_be_absent(name)) {
      absent.push_back(name);
      continue;
    }
    if (entry == nullptr) {
      const bool tied = tie && name == tie->readout;
      throw Error(ExitCode::bad_input, message(weights.path(), ": has no tensor ", tied ? tie->body : name,
                                               tied ? ", which " + name + " is tied to" : ""));
    }
    const std::vector<int64_t> wanted = value.sizes().vec();
    if (entry->shape != wanted)
      throw Error(ExitCode::bad_input, message(weights.path(), ": tensor ", entry->name, " has shape ",
                                               shape_text(entry->shape), ", the model needs ", shape_text(wanted)));
    value.copy_(tensor_view(*entry, weights.bytes(*entry), weights.path()));
  }
  return absent;
}

std::vector<std::string> missing_weights(const torch::nn::Module& module, const WeightsSet& weights,
                                         const std::optional<Tie>& tie) {
  std::vector<std::string> missing;
  for (const auto& [name, value] : parameters_and_buffers(module))
    if (stored_weight(name, weights, tie) == nullptr) missing.push_back(name);
  return missing;
}

}  // namespace interlock
