#include "parallel/stage/gradient_sink.h"

#include <utility>

#include "runtime/core/error.h"

namespace interlock {

void GradientSink::add(TrainableGroup& group, const std::vector<at::Tensor>& parameters) {
  for (size_t i = 0; i < parameters.size(); ++i) slots_[parameters[i].unsafeGetTensorImpl()] = {&group, i};
}

void GradientSink::add_at(double factor) {
  record_ = nullptr;
  factor_ = factor;
}

const GradientSink::Slot& GradientSink::slot_of(const at::Tensor& parameter) const {
  const auto found = slots_.find(parameter.unsafeGetTensorImpl());
  if (found != slots_.end()) return found->second;
  const ParameterStore::Entry* entry = store_.find(parameter);
  throw Error(ExitCode::gave_up, message("a gradient was made of ", entry ? entry->name : "a tensor without a name",
                                         ", which nobody trains: a mistake of the model"));
}

at::Tensor GradientSink::values(const at::Tensor& parameter, at::ScalarType type) {
  ParameterStore::Entry* entry = store_.find(parameter);
  return entry != nullptr ? store_.values(*entry, type) : parameter.to(type);
}

void GradientSink::add_gradient(const at::Tensor& parameter, GradientTerm term) {
  const Slot& slot = slot_of(parameter);
  if (record_ != nullptr) {
    record_->push_back({slot.group, slot.parameter, std::move(term)});
  } else {
    slot.group->add_gradient(slot.parameter, term, factor_);
  }
}

}  // namespace interlock
