// The libraries' identities come from the dynamic linker's own list: hashing files of half a gigabyte on every rank
// would take longer than all else.
#include "launch/cluster_check/rank_facts.h"

#include <ATen/Context.h>
#include <ATen/Version.h>
#include <link.h>
#include <sched.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "launch/checks/checks.h"
#include "runtime/storage/file_digest.h"

namespace interlock {
namespace {

std::string hex(std::span<const unsigned char> bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) text += {digits[byte >> 4], digits[byte & 15]};
  return text;
}

// The note in the library's memory that the linker wrote; "" when it wrote none.
std::string build_id(const dl_phdr_info& library) {
  for (int i = 0; i < library.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = library.dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const auto* at = reinterpret_cast<const unsigned char*>(library.dlpi_addr + segment.p_vaddr);
    const auto* end = at + segment.p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      ElfW(Nhdr) note;
      std::memcpy(&note, at, sizeof note);
      const auto* name = at + sizeof note;
      const auto* content = name + (note.n_namesz + 3) / 4 * 4;
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0)
        return hex({content, note.n_descsz});
      at = content + (note.n_descsz + 3) / 4 * 4;
    }
  }
  return "";
}

// The program itself has no name in this list, and the kernel's own pages are no file.
int note_library(dl_phdr_info* library, size_t, void* into) {
  namespace fs = std::filesystem;
  const fs::path path = library->dlpi_name;
  std::error_code absent;
  if (path.empty() || !fs::exists(path, absent)) return 0;
  std::string identity = build_id(*library);
  if (identity.empty()) identity = std::to_string(fs::file_size(path, absent)) + " bytes";
  static_cast<std::map<std::string, std::string>*>(into)->emplace(path.filename().string(), identity);
  return 0;
}

std::vector<int> usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> numbers;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return numbers;
  for (int number = 0; number < CPU_SETSIZE; ++number)
    if (CPU_ISSET(number, &set)) numbers.push_back(number);
  return numbers;
}

}  // namespace

RankFacts facts_of_this_rank(const std::string& config, int threads, const std::string& mpi) {
  RankFacts facts;
  facts.host = own_host_name();
  facts.program = file_digest(std::filesystem::read_symlink("/proc/self/exe").string()).sha256;
  facts.config = config;
  facts.processor = at::get_cpu_capability();
  facts.mpi = mpi;
  dl_iterate_phdr(note_library, &facts.libraries);
  facts.processors = usable_processors();
  facts.processors_of_host = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  facts.threads = threads;
  facts.available_memory = available_memory();
  return facts;
}

std::string packed(const RankFacts& facts) {
  return nlohmann::json{{"host", facts.host},
                        {"program", facts.program},
                        {"config", facts.config},
                        {"processor", facts.processor},
                        {"mpi", facts.mpi},
                        {"libraries", facts.libraries},
                        {"processors", facts.processors},
                        {"processors_of_host", facts.processors_of_host},
                        {"threads", facts.threads},
                        {"available_memory", facts.available_memory}}
      .dump();
}

RankFacts unpacked(const std::string& bytes) {
  const nlohmann::json read = nlohmann::json::parse(bytes);
  return {.host = read["host"],
          .program = read["program"],
          .config = read["config"],
          .processor = read["processor"],
          .mpi = read["mpi"],
          .libraries = read["libraries"],
          .processors = read["processors"],
          .processors_of_host = read["processors_of_host"],
          .threads = read["threads"],
          .available_memory = read["available_memory"]};
}

}  // namespace interlock
