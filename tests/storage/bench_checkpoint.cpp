// How fast checkpoints are written and verified on a disk, and what hashing them costs:
//   bench_checkpoint FOLDER [MIB] [ROUNDS]
// The ways take turns, so that all see the same machine; the figures are medians. All are synced to the disk.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <random>

#include "runtime/core/error.h"
#include "runtime/storage/checkpoint.h"
#include "runtime/storage/file_digest.h"
#include "runtime/storage/sha256.h"

namespace {

using namespace interlock;

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: bench_checkpoint FOLDER [MIB] [ROUNDS]\n", stderr);
    return static_cast<int>(ExitCode::usage);
  }
  const std::string run = argv[1];
  const size_t mib = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 256;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 5;
  // One rank of RoBERTa's size has about a hundred tensors; the bytes must not compress, as weights do not.
  constexpr size_t tensors = 64;
  const size_t each = (mib << 20) / tensors;
  auto memory = std::make_shared<std::vector<std::byte>>(each * tensors);
  std::mt19937_64 random(1);
  for (size_t i = 0; i + 8 <= memory->size(); i += 8) {
    const uint64_t value = random();
    std::copy_n(reinterpret_cast<const std::byte*>(&value), 8, memory->data() + i);
  }
  CheckpointPart part{"weights-00000.safetensors", {}, {}};
  std::vector<TensorEntry> entries;
  for (size_t i = 0; i < tensors; ++i) {
    const TensorEntry entry{"tensor." + std::to_string(i), "U8", {static_cast<int64_t>(each)}};
    entries.push_back(entry);
    part.tensors.push_back({entry, memory, std::span(*memory).subspan(i * each, each)});
  }
  std::map<std::string, size_t> place;
  for (size_t i = 0; i < tensors; ++i) place[entries[i].name] = i;

  const std::string staging = staging_folder(run, 1, "bench"), path = run + "/bench.safetensors";
  const auto plain = [&] {
    SafetensorsWriter writer(path, entries);
    for (const TensorEntry& entry : writer.order()) writer.write(entry.name, part.tensors[place[entry.name]].bytes);
    writer.commit();
  };
  std::vector<CheckpointFile> files;
  const std::vector<std::pair<std::string, std::function<void()>>> ways = {
      {"SHA-256 in memory",
       [&] {
         Sha256 digest;
         digest.add(*memory);
         digest.hex();
       }},
      {"written, not hashed", plain},
      {"hashed while written (write_checkpoint_files)", [&] { files = write_checkpoint_files(staging, {part}); }},
      {"written, then hashed from the page cache",
       [&] {
         plain();
         file_digest(path);
       }},
      {"published and verified (in the page cache)",
       [&] {
         publish_checkpoint(run, staging, {1, "", {}, files});
         verify_checkpoint(checkpoints_folder(run) + "/" + checkpoint_name(1));
       }},
  };
  std::map<std::string, std::vector<double>> taken;
  for (int round = 0; round < rounds; ++round) {
    for (const auto& [name, work] : ways) taken[name].push_back(seconds(work));
  }
  for (const auto& [name, work] : ways) {
    std::vector<double>& times = taken[name];
    std::sort(times.begin(), times.end());
    const double median = times[times.size() / 2];
    std::printf("%-48s %8.0f MB/s  (%.3f s; %.3f to %.3f)\n", name.c_str(),
                static_cast<double>(memory->size()) / 1e6 / median, median, times.front(), times.back());
  }
  discard_staging(staging);
  std::remove(path.c_str());
  return 0;
}
