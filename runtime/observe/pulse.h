#pragma once
// What one rank is doing right now, for others to look at: a record in memory that the rank keeps with plain stores,
// and that a thread of its own writes to a small file twice a second. Whoever reads the files knows what all ranks do,
// over a shared file system too; of a rank that died they keep what it did last. Free of LibTorch.

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace interlock {

// `start` until the first step is done. Disks decide how long `start`, `checkpoint` and `end` take.
enum class PulsePhase : int64_t { start, training, evaluation, checkpoint, end, ended };
const char* text_of(PulsePhase phase);

inline constexpr int64_t waits_for_nobody = -1, waits_for_several = -2;

// The content of a pulse file. Equal machines read it: numbers are as in memory.
struct PulseRecord {
  static constexpr uint64_t expected_mark = 0x32'65'73'6c'75'70'6c'69;  // "ilpulse2"
  static constexpr size_t remembered = 256, timed_steps = 32;
  struct Action {
    char text[32];  // ends with a zero
    int64_t step;
    double at;  // seconds on the rank's monotonic clock
  };
  uint64_t mark = expected_mark;
  uint64_t beat = 0;     // how many times the record was written
  uint64_t session = 0;  // another one for every process that ever had this rank
  int64_t rank = 0, pid = 0;
  // Which numbers of processes `pid` is one of (a container has its own), and when the process began; 0: not known.
  int64_t pid_space = 0, started = 0;
  int64_t closed = 0;  // 1: the last record of its process, which tells nothing any more
  PulsePhase phase = PulsePhase::start;
  int64_t step = 0;                      // under way, or the last one
  int64_t steps_done = 0;                // by this process
  int64_t actions = 0;                   // begun by this process
  uint64_t changes = 0;                  // grows whenever the rank gets on
  int64_t waits_for = waits_for_nobody;  // a rank, or one of the two above
  double changed_at = 0;                 // monotonic seconds, as `now`: when the record was written
  double now = 0;
  double wall = 0;  // the same moment on the host's calendar, seconds since 1970
  double rss_mib = 0;
  char host[64] = "";
  std::array<float, timed_steps> step_seconds{}, busy_seconds{};  // of the last steps; step i stands at i % timed_steps
  std::array<Action, remembered> last{};                          // action i stands at i % remembered
  uint64_t beat_again = 0;                                        // equals `beat` in a record that was read whole

  std::string action() const;                           // the one under way, "" before the first
  std::vector<Action> last_actions(size_t most) const;  // oldest first
  std::optional<double> median_step() const;            // seconds; of the steps it remembers
  std::optional<double> median_busy() const;            // of these, in which it computed
};

// A rank's own. Everything up to publish() belongs to the thread that trains.
class Pulse {
 public:
  Pulse() = default;
  ~Pulse();  // writes the record once more
  Pulse(const Pulse&) = delete;

  void enter(PulsePhase phase);
  void begin_step(int64_t step);
  void end_step(double seconds, double busy_seconds);
  void act(std::string_view action, double now);
  void wait_for(int64_t rank) { waits_for_.store(rank, std::memory_order_relaxed); }
  void waited();

  // From now on RUN/pulse/rank-00003 tells of this rank. The folder is there (pulse_folder). A file that cannot be
  // written is warned of once and costs nothing else.
  void publish(const std::string& run_folder, int rank);

  // Of this moment; any thread.
  PulseRecord record() const;

 private:
  void keep_writing(const std::string& path);
  void write(const std::string& path);

  static constexpr size_t text_words = sizeof(PulseRecord::Action::text) / sizeof(uint64_t);
  struct Slot {
    std::array<std::atomic<uint64_t>, text_words> text{};
    std::atomic<int64_t> step{0};
    std::atomic<double> at{0};
  };
  std::atomic<PulsePhase> phase_{PulsePhase::start};
  std::atomic<int64_t> step_{0}, steps_done_{0}, actions_{0}, waits_for_{waits_for_nobody};
  std::atomic<uint64_t> changes_{0};
  std::atomic<double> changed_at_{0};
  std::array<std::atomic<float>, PulseRecord::timed_steps> step_seconds_{}, busy_seconds_{};
  std::array<Slot, PulseRecord::remembered> last_{};

  int64_t rank_ = 0;
  uint64_t session_ = 0, beat_ = 0;  // beat_: the writing thread's
  int64_t pid_space_ = 0, started_ = 0;
  std::atomic<bool> closed_{false};
  bool told_ = false;
  std::mutex mutex_;
  std::condition_variable ending_;
  bool ends_ = false;
  std::thread writer_;
};

// While it lives, the rank does nothing but wait for another one.
class PulseWait {
 public:
  PulseWait(Pulse& pulse, int64_t rank) : pulse_(pulse) { pulse_.wait_for(rank); }
  ~PulseWait() { pulse_.waited(); }
  PulseWait(const PulseWait&) = delete;

 private:
  Pulse& pulse_;
};

// This host's name as a record has it.
std::string own_host();
// Of a process of this host: whether the record's number is one of ours, and its line in /proc ("pid (name) STATE
// ...");
// "" when it is gone, or another process has its number by now.
bool shares_processes(const PulseRecord& record);
std::string process_line(const PulseRecord& record);

// Of a record that came from elsewhere: false when it is none; else its texts end and can be printed.
bool make_safe(PulseRecord& record);

std::string pulse_folder(const std::string& run_folder);
// Whether the file of a rank is there and could be written at this moment, by us.
bool can_write_pulse(const std::string& run_folder, int64_t rank);
// The records of a run that can be read, by rank. None: no folder, or nobody has written yet.
std::vector<PulseRecord> read_pulses(const std::string& run_folder);

}  // namespace interlock
