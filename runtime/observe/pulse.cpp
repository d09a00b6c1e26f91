// The record in memory, and the thread that writes it. The file is opened and closed each time: that is when a network
// file system hands it on.
#include "runtime/observe/pulse.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <type_traits>

#include "runtime/core/blocked_signals.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/core/readable_file.h"

namespace interlock {
namespace {

constexpr auto between_beats = std::chrono::milliseconds(500);
constexpr auto relaxed = std::memory_order_relaxed;

double monotonic() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double calendar() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

// /proc/self/statm: pages of the program, of these in memory.
double resident_mib() {
  long all = 0, resident = 0;
  if (FILE* file = std::fopen("/proc/self/statm", "re")) {
    if (std::fscanf(file, "%ld %ld", &all, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

std::string line_of_process(int64_t pid) {
  std::ifstream file(std::filesystem::path("/proc") / std::to_string(pid) / "stat");
  std::string line;
  std::getline(file, line);
  return line;
}

// Field 22, in ticks since the machine's start; the fields behind the name, which may hold anything, begin with the
// third.
int64_t start_in(const std::string& line) {
  std::istringstream fields(line.substr(std::min(line.size(), line.rfind(')') + 1)));
  std::string field;
  for (int i = 3; i <= 22; ++i)
    if (!(fields >> field)) return 0;
  return std::atoll(field.c_str());
}

int64_t own_pid_space() {
  struct stat about {};
  return ::stat("/proc/self/ns/pid", &about) == 0 ? static_cast<int64_t>(about.st_ino) : 0;
}

std::string file_of(const std::string& run_folder, int64_t rank) {
  char name[32];
  std::snprintf(name, sizeof name, "rank-%05lld", static_cast<long long>(rank));
  return (std::filesystem::path(pulse_folder(run_folder)) / name).string();
}

std::optional<double> median_of(const std::array<float, PulseRecord::timed_steps>& seconds, int64_t steps) {
  const auto count = static_cast<size_t>(std::clamp<int64_t>(steps, 0, PulseRecord::timed_steps));
  if (count == 0) return std::nullopt;
  std::vector<float> sorted(seconds.begin(), seconds.begin() + static_cast<ptrdiff_t>(count));
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(count / 2), sorted.end());
  return sorted[count / 2];
}

// Anybody who may write to the run folder may have written it.
void make_printable(char* text, size_t size) {
  text[size - 1] = '\0';
  for (char* c = text; *c; ++c)
    if (static_cast<unsigned char>(*c) < 0x20 || static_cast<unsigned char>(*c) >= 0x7f) *c = '?';
}

std::optional<PulseRecord> read_pulse(const std::filesystem::path& path) {
  static_assert(std::is_trivially_copyable_v<PulseRecord>);
  for (int attempt = 0; attempt < 3; ++attempt) {  // it may be written at this moment
    PulseRecord record;
    if (!is_regular_file(path.string())) return std::nullopt;  // a pipe would be waited for
    std::ifstream file(path, std::ios::binary);
    if (!file.read(reinterpret_cast<char*>(&record), sizeof record)) return std::nullopt;
    if (record.mark == PulseRecord::expected_mark && record.beat != record.beat_again) continue;
    if (!make_safe(record)) return std::nullopt;
    return record;
  }
  return std::nullopt;
}

}  // namespace

std::string own_host() {
  char name[sizeof(PulseRecord::host)] = "";
  ::gethostname(name, sizeof name - 1);
  return name;
}

bool shares_processes(const PulseRecord& record) {
  return own_host() == record.host && (record.pid_space == 0 || record.pid_space == own_pid_space());
}

std::string process_line(const PulseRecord& record) {
  std::string line = line_of_process(record.pid);
  if (record.started != 0 && start_in(line) != record.started) line.clear();
  return line;
}

bool make_safe(PulseRecord& record) {
  if (record.mark != PulseRecord::expected_mark || record.rank < 0) return false;
  make_printable(record.host, sizeof record.host);
  for (PulseRecord::Action& action : record.last) make_printable(action.text, sizeof action.text);
  const auto known = static_cast<int64_t>(PulsePhase::ended);
  record.phase = static_cast<PulsePhase>(std::clamp<int64_t>(static_cast<int64_t>(record.phase), 0, known));
  return true;
}

const char* text_of(PulsePhase phase) {
  constexpr const char* names[] = {"start", "training", "evaluation", "checkpoint", "end", "ended"};
  return names[static_cast<int64_t>(phase)];
}

std::string PulseRecord::action() const {
  return actions > 0 ? last[static_cast<size_t>(actions - 1) % remembered].text : "";
}

std::vector<PulseRecord::Action> PulseRecord::last_actions(size_t most) const {
  const auto done = static_cast<size_t>(std::max<int64_t>(actions, 0));
  const size_t count = std::min({most, done, remembered});
  std::vector<Action> found;
  for (size_t i = done - count; i < done; ++i) found.push_back(last[i % remembered]);
  return found;
}

std::optional<double> PulseRecord::median_step() const { return median_of(step_seconds, steps_done); }
std::optional<double> PulseRecord::median_busy() const { return median_of(busy_seconds, steps_done); }

Pulse::~Pulse() {
  if (!writer_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    ends_ = closed_ = true;
  }
  ending_.notify_one();
  writer_.join();
}

void Pulse::enter(PulsePhase phase) {
  phase_.store(phase, relaxed);
  act(text_of(phase), monotonic());
}

void Pulse::begin_step(int64_t step) {
  step_.store(step, relaxed);
  if (steps_done_.load(relaxed) > 0) phase_.store(PulsePhase::training, relaxed);
}

void Pulse::end_step(double seconds, double busy_seconds) {
  const int64_t done = steps_done_.load(relaxed);
  const size_t slot = static_cast<size_t>(done) % PulseRecord::timed_steps;
  step_seconds_[slot].store(static_cast<float>(seconds), relaxed);
  busy_seconds_[slot].store(static_cast<float>(busy_seconds), relaxed);
  steps_done_.store(done + 1, std::memory_order_release);
}

void Pulse::act(std::string_view action, double now) {
  const int64_t number = actions_.load(relaxed);
  Slot& slot = last_[static_cast<size_t>(number) % PulseRecord::remembered];
  std::array<uint64_t, text_words> words{};
  std::memcpy(words.data(), action.data(), std::min(action.size(), sizeof words - 1));
  for (size_t i = 0; i < text_words; ++i) slot.text[i].store(words[i], relaxed);
  slot.step.store(step_.load(relaxed), relaxed);
  slot.at.store(now, relaxed);
  changed_at_.store(now, relaxed);
  changes_.store(changes_.load(relaxed) + 1, relaxed);
  actions_.store(number + 1, std::memory_order_release);
}

void Pulse::waited() {
  waits_for_.store(waits_for_nobody, relaxed);
  changed_at_.store(monotonic(), relaxed);
  changes_.store(changes_.load(relaxed) + 1, relaxed);
}

void Pulse::publish(const std::string& run_folder, int rank) {
  rank_ = rank;
  session_ = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()) ^
             (static_cast<uint64_t>(::getpid()) << 40);
  changed_at_.store(monotonic(), relaxed);
  pid_space_ = own_pid_space();
  started_ = start_in(line_of_process(::getpid()));
  const std::string path = file_of(run_folder, rank);
  write(path);
  writer_ = std::thread([this, path] { keep_writing(path); });
}

PulseRecord Pulse::record() const {
  PulseRecord record;
  record.session = session_;
  record.rank = rank_;
  record.pid = ::getpid();
  record.pid_space = pid_space_;
  record.started = started_;
  record.closed = closed_;
  record.actions = actions_.load(std::memory_order_acquire);
  record.steps_done = steps_done_.load(std::memory_order_acquire);
  record.phase = phase_.load(relaxed);
  record.step = step_.load(relaxed);
  record.changes = changes_.load(relaxed);
  record.waits_for = waits_for_.load(relaxed);
  record.changed_at = changed_at_.load(relaxed);
  ::gethostname(record.host, sizeof record.host - 1);
  for (size_t i = 0; i < PulseRecord::timed_steps; ++i) {
    record.step_seconds[i] = step_seconds_[i].load(relaxed);
    record.busy_seconds[i] = busy_seconds_[i].load(relaxed);
  }
  for (size_t i = 0; i < PulseRecord::remembered; ++i) {
    std::array<uint64_t, text_words> words{};
    for (size_t j = 0; j < text_words; ++j) words[j] = last_[i].text[j].load(relaxed);
    std::memcpy(record.last[i].text, words.data(), sizeof words);
    record.last[i].step = last_[i].step.load(relaxed);
    record.last[i].at = last_[i].at.load(relaxed);
  }
  record.now = monotonic();
  record.wall = calendar();
  record.rss_mib = resident_mib();
  return record;
}

void Pulse::keep_writing(const std::string& path) {
  const BlockedSignals blocked;
  std::unique_lock lock(mutex_);
  for (bool last = false; !last;) {  // once more at the end, however soon that comes
    last = ending_.wait_for(lock, between_beats, [&] { return ends_; });
    lock.unlock();
    write(path);
    lock.lock();
  }
}

void Pulse::write(const std::string& path) {
  PulseRecord now = record();
  now.beat = now.beat_again = ++beat_;
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
  bool done = file >= 0;
  if (done) done = ::write(file, &now, sizeof now) == static_cast<ssize_t>(sizeof now);
  const std::string problem = done ? "" : std::strerror(errno);
  if (file >= 0) ::close(file);
  if (done || told_) return;
  told_ = true;
  log_warning(message(path, ": ", problem, ": `interlock status` does not see rank ", rank_,
                      ", and nobody notices when it hangs"));
}

std::string pulse_folder(const std::string& run_folder) {
  return (std::filesystem::path(run_folder) / "pulse").string();
}

bool can_write_pulse(const std::string& run_folder, int64_t rank) {
  const int file = ::open(file_of(run_folder, rank).c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file >= 0) ::close(file);
  return file >= 0;
}

std::vector<PulseRecord> read_pulses(const std::string& run_folder) {
  std::vector<PulseRecord> found;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(pulse_folder(run_folder), absent)) {
    if (!entry.path().filename().string().starts_with("rank-")) continue;
    if (const auto record = read_pulse(entry.path())) found.push_back(*record);
  }
  std::ranges::sort(found, {}, &PulseRecord::rank);
  return found;
}

}  // namespace interlock
