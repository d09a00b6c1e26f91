// A ResNet through the engine: the paper's rule as golden numbers, plain autograd as truth, and that neither placement,
// schedule, recomputation nor a stop changes a bit of parameters or running statistics.
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "launch/run/load_weights.h"
#include "tests/equivalence/pieces_of_a_run.h"
#include "tests/models/image_support.h"
#include "tests/support/reference.h"

namespace interlock {
namespace {

Overrides with(const Overrides& one, const Overrides& other = {}) {
  Overrides all{"model.name=resnet"};
  all.insert(all.end(), one.begin(), one.end());
  all.insert(all.end(), other.begin(), other.end());
  return all;
}

// Weights of the whole model and all its heads by formula, as a file that a run starts from.
std::string weights_by_formula(const RunSettings& settings) {
  const auto dataset = make_dataset(settings);
  const auto model = make_model(settings, *dataset);
  std::vector<std::shared_ptr<torch::nn::Module>> modules{model->body(0, model->units()), model->readout()};
  for (int64_t below = 1; below < model->units(); ++below)
    modules.push_back(model->head(settings.learning.head_kind, below));
  std::map<std::string, at::Tensor> tensors;
  for (const auto& module : modules) {
    tests::fill_by_formula(*module);
    for (const auto& named : module->named_parameters()) tensors[named.key()] = named.value().detach();
    for (const auto& named : module->named_buffers()) tensors[named.key()] = named.value();
  }
  std::vector<TensorEntry> entries;
  for (const auto& [name, tensor] : tensors) entries.push_back({name, "F64", tensor.sizes().vec(), 0, 0});
  const std::string path = new_folder() + "/start.safetensors";
  SafetensorsWriter writer(path, entries, {});
  for (const TensorEntry& entry : writer.order()) {
    const at::Tensor& tensor = tensors.at(entry.name);
    writer.write(entry.name,
                 {static_cast<const std::byte*>(tensor.const_data_ptr()), static_cast<size_t>(tensor.nbytes())});
  }
  writer.commit();
  return path;
}

// tests/golden/resnet/rule_numbers.py: one step of SGD on all eight images of a microbatch, every auxiliary net at
// work.
TEST(ResnetRules, AreThoseOfTheMethod) {
  const auto golden = tests::golden_numbers(INTERLOCK_GOLDEN "/resnet/rules.json");
  const Overrides common =
      with({"run.precision='float64'", "run.steps=1", "optimizer.name=sgd", "optimizer.momentum=0.9",
            "optimizer.weight_decay=2e-4", "optimizer.decayed=all", "optimizer.learning_rate=0.1",
            "optimizer.warmup_steps=0", "optimizer.decay=constant", "optimizer.clip=0", "parallel.microbatches=1",
            "parallel.microbatch_size=8", "learning.heads=all", "learning.head=paper"});
  const std::vector<std::pair<std::string, Overrides>> rules = {
      {"local", {"learning.rule=local"}},
      {"furthest2", {"learning.rule=furthest", "learning.horizon=2"}},
      {"furthest3", {"learning.rule=furthest", "learning.horizon=3"}},
      {"global", {"learning.rule=global"}}};
  for (const auto& [name, rule] : rules) {
    Overrides all = common;
    all.insert(all.end(), rule.begin(), rule.end());
    const std::string folder = new_folder();
    write_images(folder, 8);
    all.insert(all.end(),
               {"data.held_out=0", "data.images='" + folder + "/images'", "data.labels='" + folder + "/labels'"});
    all.push_back("run.weights='" + weights_by_formula(settings_for_test(all)) + "'");
    const TestRun run = run_on_loopback(settings_for_test(all));
    const auto& numbers = golden.at(name);
    for (int stage = 0; stage < 4; ++stage)
      EXPECT_NEAR(run.metrics.front().losses.at(stage), numbers["losses"][static_cast<size_t>(stage)].get<double>(),
                  1e-12)
          << name << " " << stage;
    // Float64 to rounding: 1e-12 of a tensor's sum of absolute values.
    for (const auto& [parameter, value] : numbers["parameters"].items())
      EXPECT_LT(tests::distance(tensor_of(*run.weights, parameter), value), 1e-12) << name << " " << parameter;
  }
}

TEST(ResnetTruth, IsPlainAutograd) {
  const std::vector<Overrides> cases = {
      {"learning.rule=local", "learning.head=paper"},
      {"learning.rule=furthest", "learning.horizon=2", "learning.head=dgl", "parallel.ranks=2"},
      {"learning.rule=sum", "learning.horizon=2", "parallel.ranks=4", "run.recompute=block"},
      {"learning.rule=global", "model.block=bottleneck", "parallel.ranks=2", "run.recompute=stage"},
      {"learning.rule=global", "model.norm=group", "model.norm_groups=2", "parallel.replicas=2",
       "parallel.microbatches=2"}};
  for (const Overrides& one : cases) {
    const RunSettings settings =
        settings_for_test(with(one, {"run.precision='float64'", "optimizer.name=sgd", "optimizer.learning_rate=0.05",
                                     "run.evaluate_every=3", "run.evaluate_sequences=8"}));
    const TestRun run = run_on_loopback(settings);
    const ReferenceResult truth = train_reference(settings);
    // Float64, other orders of sums, three steps of SGD. (Adam would divide gradients of 1e-9, and their rounding, by
    // their own size.)
    for (const auto& [name, value] : truth.parameters)
      EXPECT_LE(largest_entry(minus(tensor_of(*run.weights, name), value)), 1e-12) << one.front() << " " << name;
    for (size_t step = 0; step < truth.losses.size(); ++step) EXPECT_NEAR(run.losses[step], truth.losses[step], 1e-12);
    ASSERT_TRUE(run.summary.validation_loss.has_value());
    EXPECT_NEAR(*run.summary.validation_loss, truth.validation_loss, 1e-12) << one.front();
  }
}

TEST(ResnetPlacement, ChangesNoBitOfParametersAndStatistics) {
  for (const Overrides& rule : std::vector<Overrides>{{"learning.rule=local", "learning.head=paper"},
                                                      {"learning.rule=furthest", "learning.horizon=2"},
                                                      {"learning.rule=global"},
                                                      {"learning.rule=sum", "run.precision=bf16"}}) {
    const std::string digest = run_on_loopback(settings_for_test(with(rule, {"parallel.ranks=4"}))).digest;
    for (const Overrides& place : std::vector<Overrides>{
             {"parallel.ranks=1", "run.recompute=block"},
             {"parallel.ranks=2", "parallel.placement=interleaved", "parallel.schedule=interleaved"},
             {"parallel.ranks=2", "parallel.placement=v", "parallel.schedule=zbv"},
             {"parallel.ranks=4", "parallel.schedule=zero_bubble", "run.recompute=stage"},
             {"parallel.ranks=4", "parallel.schedule=gpipe", "run.recompute=block"},
             {"parallel.ranks=4", "parallel.schedule=steady", "run.evaluate_every=1", "run.evaluate_sequences=4"}})
      EXPECT_EQ(run_on_loopback(settings_for_test(with(rule, place))).digest, digest) << rule.front() << place.back();
    const Overrides two{"parallel.replicas=2", "parallel.microbatches=2"};
    Overrides elsewhere = two;
    elsewhere.insert(elsewhere.end(), {"parallel.ranks=2", "parallel.schedule=gpipe", "run.recompute=stage"});
    EXPECT_EQ(run_on_loopback(settings_for_test(with(rule, two))).digest,
              run_on_loopback(settings_for_test(with(rule, elsewhere))).digest)
        << rule.front();
  }
}

TEST(ResnetResume, InPiecesIsTheSameToTheBit) {
  for (const Overrides& kind :
       std::vector<Overrides>{{"learning.rule=furthest", "learning.head=paper", "learning.heads=all"},
                              {"learning.rule=global", "parallel.replicas=2", "parallel.microbatches=2",
                               "optimizer.name=sgd", "optimizer.momentum=0.9", "optimizer.nesterov=true"}}) {
    const std::string folder = new_folder();
    go_on(folder, with(kind), 3);
    EXPECT_EQ(go_on(folder, with(kind, {"run.recompute=block"}), 0).digest, digest_of_one_piece(with(kind)))
        << kind.front();
  }
}

// At a rate of 0 nothing else moves: every replica's statistics take in its own microbatches in turn, and at the end of
// a step all go on from their mean in replica order.
TEST(ResnetStatistics, AreTheMeanOverReplicasInTheirOrder) {
  const RunSettings settings = settings_for_test(
      with({"parallel.replicas=3", "parallel.microbatches=2", "parallel.microbatch_size=2", "optimizer.name=sgd",
            "optimizer.learning_rate=0", "run.steps=2", "learning.rule=global", "parallel.ranks=2"}));
  const TestRun run = run_on_loopback(settings);
  const auto dataset = make_dataset(settings);
  dataset->open();
  const auto model = make_model(settings, *dataset);
  std::vector<std::shared_ptr<Body>> replicas;
  for (int replica = 0; replica < 3; ++replica) replicas.push_back(model->body(0, model->units()));
  const c10::NoGradGuard no_graph;
  for (int64_t step = 0; step < 2; ++step) {
    for (int64_t part = 0; part < 6; ++part) {  // replica after replica, each its microbatches in ascending order
      const std::vector<int64_t> numbers{12 * step + 2 * part, 12 * step + 2 * part + 1};
      const Batch batch = dataset->batch(Split::training, numbers);
      replicas[static_cast<size_t>(part / 2)]->forward(batch.inputs, {&batch, 1, 1, true});
    }
    for (size_t i = 0; i < replicas[0]->buffers().size(); ++i) {
      at::Tensor mean = replicas[0]->buffers()[i].clone();
      mean.add_(replicas[1]->buffers()[i]).add_(replicas[2]->buffers()[i]).div_(3);
      for (const auto& replica : replicas) replica->buffers()[i].copy_(mean);
    }
  }
  ASSERT_GT(replicas[0]->buffers().size(), 10U);
  for (const auto& named : replicas[0]->named_buffers())
    EXPECT_EQ(largest_entry(minus(tensor_of(*run.weights, named.key()), named.value())), 0) << named.key();
}

TEST(ResnetWeights, WithoutStatisticsAreRefusedByName) {
  const RunSettings settings = settings_for_test(with({"run.steps=1"}));
  const TestRun run = run_on_loopback(settings);
  const std::string path = new_folder() + "/cut.safetensors";
  std::vector<TensorEntry> entries;
  for (const TensorEntry& entry : run.weights->tensors())
    if (entry.name != "layer2.0.bn1.running_var") entries.push_back(entry);
  SafetensorsWriter writer(path, entries, run.weights->metadata());
  for (const TensorEntry& entry : writer.order())
    writer.write(entry.name, run.weights->bytes(*run.weights->find(entry.name)));
  writer.commit();
  try {
    run_on_loopback(settings_for_test(with({"run.steps=1", "run.weights='" + path + "'"})));
    FAIL() << "weights without a running variance were taken";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("layer2.0.bn1.running_var"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace interlock
