#include "parallel/keeping/weights.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "parallel/stage/stage.h"
#include "parallel/transport/control_lanes.h"
#include "runtime/core/error.h"
#include "runtime/device/staging.h"
#include "runtime/storage/safetensors.h"
#include "runtime/storage/safetensors_header.h"

namespace interlock {
namespace {

using Named = std::map<std::string, at::Tensor>;

Named tensors_here(RankContext& context, const std::vector<std::pair<std::string, std::string>>& aliases) {
  Named here;
  for (auto& stage : context.stages)
    for (const ParameterStore::Entry& entry : stage->store().entries())
      if (entry.stored) here[entry.name] = entry.value.detach();
  for (const auto& [alias, name] : aliases)
    if (const auto found = here.find(name); found != here.end()) here[alias] = found->second;
  return here;
}

std::vector<TensorEntry> entries_of(const Named& tensors) {
  std::vector<TensorEntry> entries;
  for (const auto& [name, tensor] : tensors)
    entries.push_back({name, safetensors_dtype(tensor.scalar_type()), tensor.sizes().vec(), 0, 0});
  return entries;
}

std::string announce(const std::vector<TensorEntry>& entries) {
  nlohmann::json list = nlohmann::json::array();
  for (const TensorEntry& entry : entries)
    list.push_back({{"name", entry.name}, {"dtype", entry.dtype}, {"shape", entry.shape}});
  return list.dump();
}

// What all ranks have, and who has it; on the other ranks than the writer nothing. Error(gave_up), on every rank alike,
// names a tensor that two of them have: the writer would wait for it twice.
std::pair<std::vector<TensorEntry>, std::map<std::string, int>> everything(Group& pipeline,
                                                                           const std::vector<TensorEntry>& mine) {
  std::vector<TensorEntry> entries;
  std::map<std::string, int> owner;
  std::string problem;
  const std::vector<std::string> announced = pipeline.gather(announce(mine), 0);
  for (size_t rank = 0; rank < announced.size(); ++rank)
    for (const auto& item : nlohmann::json::parse(announced[rank])) {
      entries.push_back({item["name"], item["dtype"], item["shape"].get<std::vector<int64_t>>(), 0, 0});
      const auto [found, fresh] = owner.emplace(entries.back().name, static_cast<int>(rank));
      if (!fresh && problem.empty())
        problem = message("rank ", found->second, " and rank ", rank, " both store the tensor ", entries.back().name);
    }
  problem = pipeline.broadcast(problem, 0);
  if (!problem.empty()) throw Error(ExitCode::gave_up, problem);
  return {std::move(entries), std::move(owner)};
}

MessageHeader header_of(uint64_t run, uint64_t bytes) {
  MessageHeader header;
  header.run = run;
  header.lane = weights_file_lane;
  header.bytes = bytes;
  return header;
}

}  // namespace

void write_weights(RankContext& context, const std::string& path,
                   const std::vector<std::pair<std::string, std::string>>& aliases,
                   const std::map<std::string, std::string>& metadata) {
  const Named here = tensors_here(context, aliases);
  std::vector<TensorEntry> mine = entries_of(here);
  // The writer learns all names, and asks every rank for its tensors in the order of the file.
  const auto [entries, owner] = everything(context.pipeline, mine);

  if (context.transport.rank() != 0) {
    layout_safetensors(mine, {});  // the file's order, in which rank 0 asks for them
    for (const TensorEntry& entry : mine) {
      const auto value = std::make_shared<at::Tensor>(on_host(here.at(entry.name)));
      const auto bytes = static_cast<uint64_t>(value->nbytes());
      context.transport
          .send(0, header_of(context.run, bytes), {value, static_cast<std::byte*>(value->data_ptr()), bytes})
          ->wait();
    }
    return;
  }
  // A disk that cannot take the file is told of at the end: the others are sending, and must be listened to.
  std::optional<Error> problem;
  std::optional<SafetensorsWriter> writer;
  const auto attempt = [&](const auto& act) {
    if (problem) return;
    try {
      act();
    } catch (const Error& error) {
      problem = error;
    }
  };
  std::vector<TensorEntry> order = entries;
  layout_safetensors(order, metadata);
  attempt([&] { writer.emplace(path, order, metadata); });
  for (const TensorEntry& entry : order) {
    const int from = owner.at(entry.name);
    if (from == 0) {
      const at::Tensor value = on_host(here.at(entry.name));
      attempt([&] {
        writer->write(entry.name,
                      {static_cast<const std::byte*>(value.data_ptr()), static_cast<size_t>(value.nbytes())});
      });
      continue;
    }
    const uint64_t bytes = entry.end - entry.begin;
    Buffer buffer = Buffer::allocate(bytes);
    context.transport.receive(from, header_of(context.run, bytes), buffer)->wait();
    attempt([&] { writer->write(entry.name, {buffer.data, bytes}); });
  }
  attempt([&] { writer->commit(); });
  if (problem) throw *problem;
}

}  // namespace interlock
