#pragma once
// Writes and reads the checkpoints of a run. At the end of a step every rank that stores something copies it into
// memory of its own and goes on; a thread writes and hashes the files behind the training, and when all of them have
// told rank 0 of theirs, a thread there publishes the checkpoint. A write that fails costs that checkpoint and nothing
// else.
//
// The first replica stores the weights and, where every replica has all of it, the optimizer's state. Where that is
// shared out over the replicas (ZeRO-1), each stores what it owns, and nobody waits for another:
//
//   weights-00003.safetensors, optimizer-00003.safetensors            of stage 3
//   optimizer-00003-of-replica-00001.safetensors                      the share of replica 1 in the state of stage 3
//
// Tensors go by global names: weights by their own, the optimizer's by "<parameter>.<state>", or, of a parameter that
// is cut, "<parameter>.<state>[begin:end]" (runtime/storage/tensor_pieces.h), copies of the readout by
// "shared_readout.current.<name>" and "shared_readout.next.<name>". Any cut, placement or number of replicas can read
// them.

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "parallel/engine/rank_context.h"
#include "parallel/keeping/readout_copies.h"
#include "runtime/storage/checkpoint.h"

namespace interlock {

struct CheckpointSettings {
  std::string run_folder;  // empty: nothing is ever written
  int64_t every = 0;       // steps; 0: only when asked
  int64_t keep = 3;
  std::string config;                                        // resolved
  std::map<std::string, std::string> state;                  // of the manifest, the same in every checkpoint
  std::vector<std::pair<std::string, std::string>> aliases;  // Model::aliases: a checkpoint has what a weights file has
  // Tensors that the weights hold which the run started from, where the manifest names these: what of it does not train
  // is left out.
  std::set<std::string> in_base = {};
  bool state_is_shared_out = false;     // over the replicas, if there are several: then ranks of all of them write
  std::optional<int64_t> resumed = {};  // the step of the checkpoint in the folder that the run goes on from
};

class Checkpointer {
 public:
  // Error(gave_up) when the settings do not say how the state is kept: some of it would be in no file.
  Checkpointer(RankContext& context, ReadoutCopies& copies, CheckpointSettings settings);
  ~Checkpointer();

  bool due_after(int64_t step) const;
  // Every rank, after `step`: takes the copies and begins to write. Waits first until the checkpoint before is
  // published, or has failed. `state`: more for the manifest, the same on all ranks.
  void begin(int64_t step, int64_t samples, const std::map<std::string, std::string>& state = {});
  // Every rank, now and then: hands on what has become ready. Never waits.
  void poll();
  // Every rank: waits until the checkpoint under way is there, or has failed.
  void finish();

  // Rank 0: the last step with a checkpoint that this run has published, how many failed since, and why the last one
  // did ("" when it did not).
  std::optional<int64_t> published() const { return published_; }
  int failures() const { return failures_; }
  const std::string& problem() const { return problem_; }
  double seconds() const { return seconds_; }  // that training stood still for checkpoints on this rank

 private:
  struct Written {  // one rank's part, or why there is none
    std::string problem;
    std::vector<CheckpointFile> files;
  };
  struct Published {
    std::string problem;                   // why the checkpoint does not stand; "": it does
    std::string retained;                  // why others could not be removed
    std::vector<std::string> spared = {};  // why others were not: what is wrong with each
  };
  struct Incoming {
    MessageHeader header;
    Buffer payload;
    std::unique_ptr<Handle> handle;
  };
  bool writes() const { return context_.topology.world_rank < writers(); }
  // Ranks 0 to writers() - 1 write, and tell rank 0: from the settings, so that all ranks know it unasked.
  int writers() const;
  bool leads() const { return context_.topology.world_rank == 0; }
  MessageHeader header(uint64_t bytes) const;
  std::vector<CheckpointPart> copy_everything();
  void miss_a_removed_one();
  void report(bool wait);
  void collect(bool wait);
  void conclude(bool wait);
  void fail(const std::string& problem);

  RankContext& context_;
  ReadoutCopies& copies_;
  CheckpointSettings settings_;
  std::string nonce_, staging_;
  bool begun_ = false;                 // some checkpoint of this process, on all ranks alike
  CheckpointManifest manifest_;        // of the one under way
  std::future<Written> writing_;       // here
  std::optional<Written> own_;         // rank 0: its own part
  std::map<int, Incoming> incoming_;   // rank 0: the others'
  std::future<Published> publishing_;  // rank 0
  std::atomic<bool> ending_{false};    // an error ends the run: what is being written is given up
  std::unique_ptr<Handle> sending_;
  std::set<std::string> spared_;  // damaged checkpoints that were told of
  std::optional<int64_t> published_;
  std::optional<int64_t> newest_;  // whole in the folder: of this run or the one it goes on from
  bool removed_ = false;           // the newest, by somebody else, and none was published since
  int failures_ = 0;
  std::string problem_;
  double seconds_ = 0;
};

// The optimizer's state and the readout's copies of a resumed run. Parameters whose state the checkpoint lacks (a head
// that was not there) begin anew: their names are returned.
std::vector<std::string> restore_state(RankContext& context, ReadoutCopies& copies, const Checkpoint& checkpoint);

}  // namespace interlock
