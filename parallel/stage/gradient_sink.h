#pragma once
// Where the gradients of a stage's parameters go: into the flat buffers of their groups, at once, or recorded by the
// pass to the input so that the weight pass need not differentiate again.

#include <unordered_map>
#include <vector>

#include "models/model.h"
#include "parallel/stage/parameter_store.h"
#include "parallel/stage/trainable_group.h"

namespace interlock {

class GradientSink final : public ParameterAccess {
 public:
  struct Recorded {
    TrainableGroup* group;
    size_t parameter;
    GradientTerm term;
  };

  explicit GradientSink(ParameterStore& store) : store_(store) {}
  // Gradients of the group's parameters go to it.
  void add(TrainableGroup& group, const std::vector<at::Tensor>& parameters);

  // Until the next call: gradients are added at this factor.
  void add_at(double factor);
  // Until the next call: they are put behind `record`, to be added later.
  void record_into(std::vector<Recorded>& record) { record_ = &record; }

  at::Tensor values(const at::Tensor& parameter, at::ScalarType type) override;
  void add_gradient(const at::Tensor& parameter, GradientTerm term) override;

 private:
  struct Slot {
    TrainableGroup* group;
    size_t parameter;
  };
  const Slot& slot_of(const at::Tensor& parameter) const;

  ParameterStore& store_;
  std::unordered_map<const void*, Slot> slots_;
  std::vector<Recorded>* record_ = nullptr;
  double factor_ = 1.0;
};

}  // namespace interlock
