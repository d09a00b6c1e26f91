#include "tests/support/engine_for_test.h"

#include "launch/run/assemble.h"
#include "launch/settings/parts.h"
#include "launch/settings/plans.h"
#include "models/model.h"
#include "parallel/stage/stage.h"

namespace interlock {

EngineForTest engine_for_test(const RunSettings& settings, Transport& transport, int64_t steps, int64_t bucket_bytes,
                              const Device& device) {
  const auto dataset = make_dataset(settings);
  dataset->open();
  const auto model = make_model(settings, *dataset);
  const std::vector<int> partition = make_partition(settings, *model);
  const Topology topology{settings.parallel.shape, transport.rank()};
  const std::vector<bool> heads = stages_with_heads(settings, *model), learns = stages_that_learn(settings, *model);
  std::vector<std::unique_ptr<Stage>> stages;
  for (const int stage : topology.stages())
    stages.push_back(
        make_stage(settings, *model, partition,
                   {.index = stage, .has_head = heads[stage], .learns = learns[stage], .replica = topology.replica()}));
  const bool tied = model->tie() && model->tie()->trained;
  const auto loader = std::make_shared<const Loader>(dataset, settings.parallel.batch_shape());
  EngineForTest made;
  made.context = std::make_unique<RankContext>(transport, topology, 1, std::move(stages), tied, device);
  made.engine = std::make_unique<Engine>(
      *made.context,
      Engine::Settings{.loader = loader,
                       .batches = std::make_unique<BatchStream>(
                           loader, BatchStream::Request{.replica = topology.replica(), .last_step = steps}),
                       .boundaries = make_boundaries(*model, partition),
                       .trace_steps = 0,
                       .bucket_bytes = bucket_bytes});
  return made;
}

}  // namespace interlock
