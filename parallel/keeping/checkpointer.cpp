#include "parallel/keeping/checkpointer.h"

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "parallel/keeping/stored_state.h"
#include "parallel/transport/control_lanes.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/observe/trace.h"

namespace interlock {
namespace {

using nlohmann::json;
using std::chrono::seconds;

template <class T>
bool is_ready(const std::future<T>& future) {
  return future.wait_for(seconds(0)) == std::future_status::ready;
}

// what-00003, the beginning of a file's name.
std::string numbered(const char* what, int number) {
  char name[64];
  std::snprintf(name, sizeof name, "%s-%05d", what, number);
  return name;
}

std::string hexadecimal(uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
  return text;
}

}  // namespace

Checkpointer::Checkpointer(RankContext& context, ReadoutCopies& copies, CheckpointSettings settings)
    : context_(context),
      copies_(copies),
      settings_(std::move(settings)),
      nonce_(hexadecimal(context.run)),
      newest_(settings_.resumed) {
  for (const auto& stage : context.stages)
    if (is_sharded(*stage) && !settings_.state_is_shared_out)
      throw Error(ExitCode::gave_up, message("the optimizer's state of stage ", stage->index(),
                                             " is shared out over replicas, and checkpoints are not told so"));
}

int Checkpointer::writers() const {
  return settings_.state_is_shared_out ? context_.topology.world_size() : context_.topology.shape.ranks;
}

// A run that ends by an error may leave while a file is written: the thread ends first, its checkpoint has no name. It
// is not waited for longer than one tensor takes: the other ranks wait for this one's word that the run has failed.
Checkpointer::~Checkpointer() {
  ending_ = true;
  if (writing_.valid()) writing_.wait();
  if (publishing_.valid()) publishing_.wait();
  // Other ranks may still be writing: theirs fails as well, and what slips through goes with the next start.
  if (leads() && !staging_.empty()) discard_staging(staging_);
}

bool Checkpointer::due_after(int64_t step) const {
  return !settings_.run_folder.empty() && settings_.every > 0 && step % settings_.every == 0;
}

MessageHeader Checkpointer::header(uint64_t bytes) const {
  MessageHeader header;
  header.run = context_.run;
  header.step = manifest_.step;
  header.lane = checkpoint_lane;
  header.bytes = bytes;
  return header;
}

std::vector<CheckpointPart> Checkpointer::copy_everything() {
  std::vector<CheckpointPart> parts;
  if (!writes()) return parts;
  const int replica = context_.topology.replica();
  for (auto& stage : context_.stages) {
    if (replica == 0)
      parts.push_back({numbered("weights", stage->index()) + ".safetensors",
                       copy_weights(*stage, settings_.aliases, settings_.in_base),
                       {}});
    const bool sharded = is_sharded(*stage);
    const std::string of_replica = sharded ? numbered("-of-replica", replica) : "";
    CheckpointPart state{
        numbered("optimizer", stage->index()) + of_replica + ".safetensors", copy_optimizer_state(*stage, replica), {}};
    // The first replica has a file for every stage; another may own nothing of a small one.
    if (replica == 0 || !state.tensors.empty()) parts.push_back(std::move(state));
  }
  if (replica != 0) return parts;
  CheckpointPart readout{"shared_readout.safetensors", {}, {}};
  for (const ReadoutCopies::Values& value : copies_.values()) {
    readout.tensors.push_back(stored_copy("shared_readout.current." + value.name, value.current));
    if (value.next.defined()) readout.tensors.push_back(stored_copy("shared_readout.next." + value.name, value.next));
  }
  if (!readout.tensors.empty()) parts.push_back(std::move(readout));
  return parts;
}

void Checkpointer::begin(int64_t step, int64_t samples, const std::map<std::string, std::string>& state) {
  const double start = TraceRecorder::now();
  finish();
  manifest_ = {step, settings_.config, settings_.state, {}};
  // Ranks that do not lead know only of their own part. Until the last checkpoint is published nobody takes space for
  // the next one, which may not fit beside it.
  if (begun_) context_.world.barrier();
  begun_ = true;
  miss_a_removed_one();
  manifest_.state["samples"] = std::to_string(samples);
  for (const auto& [name, value] : state) manifest_.state[name] = value;
  auto parts = std::make_shared<std::vector<CheckpointPart>>(copy_everything());
  if (writes()) {
    staging_ = staging_folder(settings_.run_folder, step, nonce_);
    writing_ = std::async(std::launch::async, [staging = staging_, parts, ending = &ending_]() -> Written {
      try {
        return {"", write_checkpoint_files(staging, *parts, ending)};
      } catch (const std::exception& problem) {
        return {problem.what(), {}};
      }
    });
    for (int from = 1; leads() && from < writers(); ++from) {
      Incoming& incoming = incoming_[from];
      incoming.handle = context_.transport.receive_any_size(from, header(0), &incoming.header, &incoming.payload);
    }
  }
  seconds_ += TraceRecorder::now() - start;
}

// Somebody tidies up below a run that goes on.
void Checkpointer::miss_a_removed_one() {
  if (!leads() || !newest_) return;
  namespace fs = std::filesystem;
  const fs::path newest = fs::path(checkpoints_folder(settings_.run_folder)) / checkpoint_name(*newest_);
  std::error_code unknown;
  if (fs::exists(newest / "manifest.json", unknown) || unknown) return;
  log_warning(message(newest.string(),
                      ", the newest checkpoint so far, was removed while the run goes on; that of step ",
                      manifest_.step, " follows it"));
  published_.reset();
  newest_.reset();
  removed_ = true;
}

void Checkpointer::poll() {
  report(false);
  collect(false);
  conclude(false);
}

void Checkpointer::finish() {
  report(true);
  collect(true);
  conclude(true);
}

// What this rank has written goes to rank 0.
void Checkpointer::report(bool wait) {
  if (sending_ && (wait || sending_->done())) {
    sending_->wait();
    sending_.reset();
  }
  if (!writing_.valid() || (!wait && !is_ready(writing_))) return;
  Written written = writing_.get();
  if (leads()) {
    own_ = std::move(written);
    return;
  }
  json files = json::array();
  for (const CheckpointFile& file : written.files)
    files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  const std::string text = json{{"problem", written.problem}, {"files", files}}.dump();
  Buffer payload = Buffer::allocate(text.size());
  std::memcpy(payload.data, text.data(), text.size());
  sending_ = context_.transport.send(0, header(text.size()), payload);
  if (wait) report(true);
}

// Rank 0: once everybody has told of its part, the checkpoint is published, or given up.
void Checkpointer::collect(bool wait) {
  if (!own_) return;
  for (auto& [from, incoming] : incoming_)
    if (!wait && !incoming.handle->done()) return;
  std::string problem = own_->problem;
  manifest_.files = std::move(own_->files);
  for (auto& [from, incoming] : incoming_) {
    incoming.handle->wait();
    const json told =
        json::parse(std::string_view(reinterpret_cast<const char*>(incoming.payload.data), incoming.header.bytes));
    if (problem.empty()) problem = told["problem"];
    for (const json& file : told["files"]) manifest_.files.push_back({file["name"], file["bytes"], file["sha256"]});
  }
  incoming_.clear();
  own_.reset();
  if (!problem.empty()) {
    discard_staging(staging_);
    fail(problem);
    return;
  }
  publishing_ = std::async(std::launch::async,
                           [this, folder = settings_.run_folder, staging = staging_, manifest = manifest_,
                            keep = settings_.keep]() -> Published {
                             std::string aside;
                             try {
                               aside = publish_checkpoint(folder, staging, manifest);
                             } catch (const std::exception& failure) {
                               discard_staging(staging);
                               return {failure.what(), "", {}};
                             }
                             Published done;
                             try {
                               done.spared = retain_checkpoints(folder, keep, nonce_, manifest.step);
                             } catch (const std::exception& failure) {
                               done.retained = failure.what();
                             }
                             if (!aside.empty()) done.spared.push_back(aside);
                             return done;
                           });
}

void Checkpointer::conclude(bool wait) {
  if (!publishing_.valid() || (!wait && !is_ready(publishing_))) return;
  const Published published = publishing_.get();
  if (!published.problem.empty()) return fail(published.problem);
  if (!published.retained.empty())
    log_warning(message("the checkpoint of step ", manifest_.step,
                        " is written, but older ones could not be removed: ", published.retained));
  for (const std::string& problem : published.spared)
    if (spared_.insert(problem).second)
      log_warning("a damaged checkpoint stays, for something of it may be rescued; remove it by hand: " + problem);
  if (settings_.keep > 1) miss_a_removed_one();  // else the new one has taken its place
  published_ = newest_ = manifest_.step;
  removed_ = false;
  failures_ = 0;
  problem_.clear();
}

void Checkpointer::fail(const std::string& problem) {
  ++failures_;
  problem_ = problem;
  const std::string last = newest_    ? message(", the checkpoint of step ", *newest_, " stays the last good one")
                           : removed_ ? ""
                                      : ", earlier checkpoints are untouched";
  log_warning(message("the checkpoint of step ", manifest_.step, " could not be written: ", problem,
                      "; training goes on", last));
}

namespace {

// The readout's copies of a checkpoint; none when the run had none: then they hold the readout that was loaded with the
// weights. Error(bad_input) names one that is missing beside others.
std::vector<ReadoutCopies::Values> stored_copies(const ReadoutCopies& copies, const Checkpoint& checkpoint) {
  std::vector<ReadoutCopies::Values> values;
  size_t current = 0, next = 0;
  for (const auto& [name, copy] : copies.copied()) {
    values.push_back({name, stored_tensor(checkpoint, "shared_readout.current." + name, copy.sizes()),
                      stored_tensor(checkpoint, "shared_readout.next." + name, copy.sizes())});
    current += values.back().current.defined();
    next += values.back().next.defined();
  }
  if (current == 0 && next == 0) return {};
  for (const ReadoutCopies::Values& value : values)
    if (!value.current.defined() || value.next.defined() != (next > 0))
      throw Error(ExitCode::bad_input,
                  message(checkpoint.folder(), ": holds copies of a shared readout, but no ", "shared_readout.",
                          value.current.defined() ? "next." : "current.", value.name));
  return values;
}

}  // namespace

std::vector<std::string> restore_state(RankContext& context, ReadoutCopies& copies, const Checkpoint& checkpoint) {
  std::vector<std::string> fresh;
  for (auto& stage : context.stages)
    for (std::string& name : restore_optimizer_state(*stage, checkpoint)) fresh.push_back(std::move(name));
  copies.restore(stored_copies(copies, checkpoint));
  return fresh;
}

}  // namespace interlock
