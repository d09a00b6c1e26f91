#include "parallel/keeping/weights.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "parallel/stage/stage.h"
#include "parallel/transport/control_lanes.h"
#include "runtime/core/error.h"
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

std::string announce(const Named& tensors) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [name, tensor] : tensors)
    list.push_back(
        {{"name", name}, {"dtype", safetensors_dtype(tensor.scalar_type())}, {"shape", tensor.sizes().vec()}});
  return list.dump();
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
  // Every rank learns all names, so that senders and the writer agree on the order without asking.
  const std::vector<std::string> announced = context.pipeline.all_gather(announce(here));
  const int rank = context.transport.rank();
  std::vector<TensorEntry> entries;
  std::map<std::string, int> owner;
  for (size_t other = 0; other < announced.size(); ++other)
    for (const auto& item : nlohmann::json::parse(announced[other])) {
      entries.push_back({item["name"], item["dtype"], item["shape"].get<std::vector<int64_t>>(), 0, 0});
      owner[entries.back().name] = static_cast<int>(other);
    }

  if (rank != 0) {
    // safetensors orders by dtype, then name; all tensors of a run have one dtype, so by name.
    for (const auto& [name, tensor] : here) {
      const auto value = std::make_shared<at::Tensor>(tensor.contiguous());
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
  attempt([&] { writer.emplace(path, entries, metadata); });
  for (const TensorEntry& entry : order) {
    const int from = owner.at(entry.name);
    if (from == 0) {
      const at::Tensor value = here.at(entry.name).contiguous();
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
