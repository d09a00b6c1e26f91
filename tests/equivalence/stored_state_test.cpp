// The optimizer's state in a checkpoint: whole or in pieces, whoever wrote it and whoever reads it, the run goes on to
// the same bits; what is damaged is refused by name.

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <set>

#include "launch/run/assemble.h"
#include "launch/settings/plans.h"
#include "models/model.h"
#include "parallel/keeping/checkpointer.h"
#include "parallel/keeping/weights.h"
#include "parallel/stage/stage.h"
#include "runtime/core/error.h"
#include "runtime/storage/tensors/tensor_entry.h"
#include "tests/equivalence/pieces_of_a_run.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

const Overrides sharded = {"parallel.shard_optimizer=true"};
const Overrides twelve[] = {{"parallel.replicas=2", "parallel.microbatches=6"},
                            {"parallel.replicas=3", "parallel.microbatches=4"},
                            {"parallel.replicas=4", "parallel.microbatches=3"}};

Overrides with(Overrides base, const Overrides& more) {
  base.insert(base.end(), more.begin(), more.end());
  return base;
}

std::set<std::string> files_of(const std::string& checkpoint) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(checkpoint)) names.insert(entry.path().filename().string());
  return names;
}

// ---- Who writes what

TEST(StoredState, UnsharedItHasTheFilesOfTheFirstReplicaAndWholeTensors) {
  const std::string folder = new_folder();
  go_on(folder, with(twelve[0], {"parallel.stages=2"}), 2);
  EXPECT_EQ(files_of(find_checkpoint(folder)),
            (std::set<std::string>{"manifest.json", "optimizer-00000.safetensors", "optimizer-00001.safetensors",
                                   "weights-00000.safetensors", "weights-00001.safetensors"}));
  const auto opened = Checkpoint::open(find_checkpoint(folder));
  for (const auto& file : opened->files())
    for (const TensorEntry& tensor : file->tensors()) EXPECT_EQ(tensor.name.find('['), std::string::npos);
}

// Every element of every state is in one file only, and no file holds much more than its share.
TEST(StoredState, SharedOutEachReplicaWritesItsOwnPieces) {
  const std::string folder = new_folder();
  go_on(folder, with(with(twelve[0], sharded), {"parallel.stages=2", "model.width=32"}), 2);
  const std::string checkpoint = find_checkpoint(folder);
  EXPECT_EQ(
      files_of(checkpoint),
      (std::set<std::string>{
          "manifest.json", "optimizer-00000-of-replica-00000.safetensors",
          "optimizer-00000-of-replica-00001.safetensors", "optimizer-00001-of-replica-00000.safetensors",
          "optimizer-00001-of-replica-00001.safetensors", "weights-00000.safetensors", "weights-00001.safetensors"}));
  verify_checkpoint(checkpoint);
  uint64_t weights = 0, state = 0, largest = 0;
  int cut = 0;
  const auto opened = Checkpoint::open(checkpoint);
  for (const auto& file : opened->files()) {
    const bool of_weights = fs::path(file->path()).filename().string().starts_with("weights-");
    uint64_t here = 0;
    for (const TensorEntry& tensor : file->tensors()) {
      cut += tensor.name.ends_with("]");
      // Two names of one tensor, and counts of updates.
      if (tensor.name == "lm_head.decoder.bias" || tensor.name.ends_with(".count")) continue;
      here += tensor.end - tensor.begin;
    }
    (of_weights ? weights : state) += here;
    if (!of_weights) largest = std::max(largest, here);
  }
  EXPECT_EQ(state, 2 * weights);
  EXPECT_GT(cut, 0) << "the test wants a parameter that is cut";
  EXPECT_LT(largest, state * 2 / 5) << "of four files";
}

// ---- Whoever reads it

struct Kind {
  std::string name;
  Overrides overrides;
};
void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }
class Reshard : public testing::TestWithParam<Kind> {};

TEST_P(Reshard, SharedOutAndWholeAndBackIsTheSameToTheBit) {
  const Overrides whole = with(twelve[0], GetParam().overrides), shared = with(whole, sharded);
  const std::string digest = digest_of_one_piece(whole), first_shared = new_folder(), first_whole = new_folder();
  go_on(first_shared, shared, 3);
  go_on(first_shared, whole, 5);
  EXPECT_EQ(go_on(first_shared, shared, 0).digest, digest);
  go_on(first_whole, whole, 3);
  go_on(first_whole, shared, 5);
  EXPECT_EQ(go_on(first_whole, whole, 0).digest, digest);
}

// Where the number of replicas changes, so does the order of sums: what it comes to is held against the same run with
// whole states.
TEST_P(Reshard, OtherNumbersOfSharesAreTheSameToTheBit) {
  for (const Overrides& middle : {twelve[1], twelve[2]}) {
    const auto digest = [&](const Overrides& kind) {
      const std::string folder = new_folder();
      go_on(folder, with(twelve[0], kind), 3);
      go_on(folder, with(with(middle, kind), {"parallel.ranks=2"}), 5);
      return go_on(folder, with(twelve[0], kind), 0).digest;
    };
    EXPECT_EQ(digest(with(GetParam().overrides, sharded)), digest(GetParam().overrides));
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Reshard,
                         testing::Values(Kind{"adamw", {"learning.rule=sum", "model.width=32"}},
                                         Kind{"lamb", {"learning.rule=global", "optimizer.name=lamb"}},
                                         Kind{"sgd_momentum_tied",
                                              {"learning.rule=furthest", "model.tie_embeddings=true",
                                               "optimizer.name=sgd", "optimizer.momentum=0.9"}}),
                         [](const auto& kind) { return kind.param.name; });

// ---- Folders made by hand

using Tensors = std::map<std::string, CheckpointPart::Tensor>;

// A new run folder whose checkpoint holds the weights of the newest in `from`, and of its other tensors what `change`
// makes of them, in one file.
std::string rewritten(const std::string& from, const std::function<void(Tensors&)>& change) {
  const auto checkpoint = Checkpoint::open(find_checkpoint(from));
  CheckpointPart weights{"weights-00000.safetensors", {}, {}}, others{"optimizer-00000.safetensors", {}, {}};
  Tensors tensors;
  for (const auto& file : checkpoint->files())
    for (const TensorEntry& tensor : file->tensors()) {
      const CheckpointPart::Tensor same{tensor, file, file->bytes(tensor)};
      if (fs::path(file->path()).filename().string().starts_with("weights-"))
        weights.tensors.push_back(same);
      else
        tensors.emplace(tensor.name, same);
    }
  change(tensors);
  for (const auto& [name, tensor] : tensors) {
    others.tensors.push_back(tensor);
    others.tensors.back().entry.name = name;
  }
  const std::string folder = new_folder(), staging = staging_folder(folder, checkpoint->manifest().step, "hand");
  CheckpointManifest manifest = checkpoint->manifest();
  manifest.files = write_checkpoint_files(staging, {weights, others});
  publish_checkpoint(folder, staging, manifest);
  return folder;
}

std::string refusal(const std::string& folder, const Overrides& overrides) {
  try {
    go_on(folder, overrides, 0);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    return error.what();
  }
  return "";
}

CheckpointPart::Tensor joined(const std::vector<CheckpointPart::Tensor>& pieces, const std::vector<int64_t>& shape) {
  const auto bytes = std::make_shared<std::string>();
  for (const auto& piece : pieces) bytes->append(reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size());
  return {{"", pieces.front().entry.dtype, shape}, bytes, std::as_bytes(std::span(*bytes))};
}

// The readout's matrix, 8352 numbers where the network is 32 wide, is cut after 4096 over two replicas.
const std::string matrix = "lm_head.decoder.weight";
const Overrides wide = with(twelve[0], {"learning.rule=sum", "model.width=32"}), cut = with(wide, sharded);

// As checkpoints were written before there were pieces.
TEST(StoredState, AFolderOfWholeTensorsIsReadByShares) {
  const std::string folder = new_folder();
  go_on(folder, cut, 3);
  const auto weights = WeightsSet::open(find_checkpoint(folder));
  int put_together = 0;
  const std::string by_hand = rewritten(folder, [&](Tensors& tensors) {
    std::map<std::string, std::map<int64_t, CheckpointPart::Tensor>> pieces;
    for (auto item = tensors.begin(); item != tensors.end();) {
      const size_t bracket = item->first.find('[');
      const bool piece = bracket != std::string::npos;
      if (piece)
        pieces[item->first.substr(0, bracket)].emplace(std::stoll(item->first.substr(bracket + 1)), item->second);
      item = piece ? tensors.erase(item) : std::next(item);
    }
    for (const auto& [name, list] : pieces) {
      std::vector<CheckpointPart::Tensor> in_order;
      for (const auto& [begin, piece] : list) in_order.push_back(piece);
      tensors.emplace(name, joined(in_order, weights->find(name.substr(0, name.rfind('.')))->shape));
      ++put_together;
    }
  });
  EXPECT_GT(put_together, 0);
  EXPECT_EQ(go_on(by_hand, cut, 0).digest, digest_of_one_piece(cut));
}

TEST(StoredState, DamagedPiecesAreRefusedByName) {
  const std::string folder = new_folder(), mean = matrix + ".mean", head = mean + "[0:4096]";
  go_on(folder, cut, 3);
  const auto refused = [&](const std::function<void(Tensors&)>& change) {
    // Whoever reads them, shared out or not.
    const std::string whole = refusal(rewritten(folder, change), wide);
    EXPECT_EQ(refusal(rewritten(folder, change), cut).empty(), whole.empty());
    return whole;
  };
  EXPECT_THAT(refused([&](Tensors& tensors) { ASSERT_EQ(tensors.erase(head), 1u); }),
              AllOf(HasSubstr("step-00000003"), HasSubstr(mean), HasSubstr("[0, 4096)"), HasSubstr("missing")));
  EXPECT_THAT(refused([&](Tensors& tensors) {
                CheckpointPart::Tensor twice = tensors.at(head);
                twice.entry.shape = {16};
                twice.bytes = twice.bytes.first(64);
                tensors[mean + "[4000:4016]"] = twice;
              }),
              AllOf(HasSubstr(mean), HasSubstr("[4000, 4016)"), HasSubstr("twice")));
  EXPECT_THAT(refused([&](Tensors& tensors) { ASSERT_EQ(tensors.erase(matrix + ".count"), 1u); }),
              AllOf(HasSubstr("no " + matrix + ".count"), HasSubstr(mean)));
}

TEST(StoredState, DamagedCopiesOfAReadoutAreRefusedByName) {
  const Overrides copies = {"learning.rule=local", "learning.head=shared_readout", "learning.refresh_every=2"};
  const std::string folder = new_folder(), name = "shared_readout.current.lm_head.layer_norm.weight";
  go_on(folder, copies, 3);
  EXPECT_THAT(refusal(rewritten(folder, [&](Tensors& tensors) { ASSERT_EQ(tensors.erase(name), 1u); }), copies),
              HasSubstr("no " + name));
  EXPECT_THAT(refusal(rewritten(folder,
                                [&](Tensors& tensors) {
                                  CheckpointPart::Tensor& short_one = tensors.at(name);
                                  short_one.entry.shape = {1};
                                  short_one.bytes = short_one.bytes.first(4);
                                }),
                      copies),
              AllOf(HasSubstr(name), HasSubstr("[1]"), HasSubstr("[16]")));
  // Nothing at all of them: the readout of the weights.
  EXPECT_EQ(refusal(rewritten(folder,
                              [](Tensors& tensors) {
                                std::erase_if(tensors,
                                              [](const auto& one) { return one.first.starts_with("shared_readout."); });
                              }),
                    copies),
            "");
}

// ---- Ranks that fail, and ranks that differ

RankContext context_of(const RunSettings& settings, Transport& transport) {
  const auto dataset = make_dataset(settings);
  dataset->open();
  const auto model = make_model(settings, *dataset);
  const Topology topology{settings.parallel.shape, transport.rank()};
  std::vector<std::unique_ptr<Stage>> stages;
  for (const int stage : topology.stages())
    stages.push_back(make_stage(settings, *model, make_partition(settings, *model),
                                {.index = stage, .replica = topology.replica()}));
  return RankContext(transport, topology, 1, std::move(stages), false);
}

// Of the replicas that only have a share to write, too.
TEST(StoredState, ARankThatCannotWriteItsShareCostsTheCheckpoint) {
  const RunSettings settings = settings_in(new_folder(), with(cut, {"parallel.ranks=1", "parallel.stages=2"}));
  const std::string folder = settings.folder, nowhere = "/dev/null/run";
  run_loopback(2, [&](Transport& transport) {
    RankContext context = context_of(settings, transport);
    ReadoutCopies copies(context, 1);
    CheckpointSettings checkpoints{.run_folder = folder, .every = 1, .config = "", .state = {}, .aliases = {}};
    EXPECT_THROW(Checkpointer(context, copies, checkpoints), Error) << "untold that replica 1 has something to write";
    checkpoints.state_is_shared_out = true;
    if (transport.rank() == 1) checkpoints.run_folder = nowhere;
    Checkpointer checkpointer(context, copies, checkpoints);
    checkpointer.begin(1, 6);
    checkpointer.finish();
    if (transport.rank() != 0) return;
    EXPECT_EQ(checkpointer.failures(), 1);
    EXPECT_EQ(checkpointer.published(), std::nullopt);
  });
  EXPECT_EQ(find_checkpoint(folder), "");
  EXPECT_TRUE(fs::is_empty(checkpoints_folder(folder))) << "what replica 0 had written is left";
}

// Of types whose order in the file is not that of their names: sender and writer agree on it all the same.
TEST(StoredWeights, OfSeveralTypesAndRanksStandInOneFile) {
  const RunSettings settings = settings_in(new_folder(), {"parallel.ranks=2", "parallel.stages=2"});
  const std::string path = settings.folder + "/weights.safetensors";
  const auto value = [](int rank, int i) { return 10 * rank + i + 0.5; };
  const std::vector<at::ScalarType> types = {at::kBFloat16, at::kDouble, at::kHalf, at::kFloat};
  const auto name = [](int rank, size_t i) {
    return std::string(1, static_cast<char>('a' + i)) + std::to_string(rank);
  };
  run_loopback(2, [&](Transport& transport) {
    RankContext context = context_of(settings, transport);
    torch::nn::Module more;
    for (size_t i = 0; i < types.size(); ++i)
      more.register_buffer(name(transport.rank(), i),
                           at::full({2}, value(transport.rank(), static_cast<int>(i)), types[i]));
    context.stages.front()->store().add(more);
    write_weights(context, path, {}, {});
  });
  const auto file = SafetensorsFile::open(path);
  for (int rank = 0; rank < 2; ++rank)
    for (size_t i = 0; i < types.size(); ++i) {
      const TensorEntry* entry = file->find(name(rank, i));
      ASSERT_NE(entry, nullptr);
      EXPECT_EQ(entry->dtype, safetensors_dtype(types[i]));
      const at::Tensor stored = tensor_view(*entry, file->bytes(*entry), path);
      for (const int64_t place : {0, 1})
        EXPECT_EQ(stored[place].item<double>(), value(rank, static_cast<int>(i))) << entry->name;
    }
}

TEST(StoredWeights, ATensorThatTwoRanksStoreIsRefusedByName) {
  const RunSettings settings = settings_in(new_folder(), {"parallel.ranks=2", "parallel.stages=2"});
  try {
    run_loopback(2, [&](Transport& transport) {
      RankContext context = context_of(settings, transport);
      torch::nn::Module more;
      more.register_buffer("running_mean", at::zeros({2}));
      context.stages.front()->store().add(more);
      write_weights(context, settings.folder + "/weights.safetensors", {}, {});
    });
    ADD_FAILURE() << "written";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("running_mean"), HasSubstr("rank 0"), HasSubstr("rank 1")));
  }
}

}  // namespace
}  // namespace interlock
