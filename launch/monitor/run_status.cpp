#include "launch/monitor/run_status.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/core/config.h"
#include "runtime/core/error.h"
#include "runtime/core/readable_file.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double fresh_seconds = 3;  // of a beat that comes twice a second
constexpr auto second_look = std::chrono::milliseconds(1500);
// Between the word that a run is started again and the first that its ranks tell: a pause of at most a minute, and what
// a large model takes to load.
constexpr double longest_restart = 900;
constexpr size_t few = 3;  // of fewer ranks a median says nothing

double calendar() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::map<int64_t, uint64_t> beats_of(const std::vector<PulseRecord>& pulses) {
  std::map<int64_t, uint64_t> beats;
  for (const PulseRecord& pulse : pulses) beats[pulse.rank] = pulse.beat;
  return beats;
}

// Of a rank of this host, that died a moment ago.
bool is_gone(const PulseRecord& pulse) { return shares_processes(pulse) && process_line(pulse).empty(); }

bool is_fresh(const PulseRecord& pulse) {
  const double quiet = calendar() - pulse.wall;
  return quiet > -fresh_seconds && quiet < fresh_seconds && !is_gone(pulse);
}

bool has_ended(const PulseRecord& pulse) { return pulse.phase == PulsePhase::ended; }

// Fills in the state and the ranks. While a rank beats, its own clock says all; after that the calendar is all there
// is.
void look_at_ranks(RunStatus& status) {
  std::vector<PulseRecord> pulses = read_pulses(status.run);
  std::map<int64_t, uint64_t> before;
  const auto settled = [](const PulseRecord& pulse) { return has_ended(pulse) || is_fresh(pulse); };
  if (!pulses.empty() && !std::ranges::all_of(pulses, settled)) {
    before = beats_of(pulses);
    std::this_thread::sleep_for(second_look);
    pulses = read_pulses(status.run);
  }
  bool alive = false;
  for (const PulseRecord& pulse : pulses) {
    const auto found = before.find(pulse.rank);
    const bool beats = found == before.end() ? is_fresh(pulse) : found->second != pulse.beat;
    alive |= beats && !has_ended(pulse);
    const double quiet = beats && !is_fresh(pulse) ? 0.0 : std::max(0.0, calendar() - pulse.wall);
    status.ranks.push_back({pulse, pulse.now - pulse.changed_at + quiet, std::nullopt});
    status.step = std::max(status.step, pulse.step);
  }
  const bool over = !pulses.empty() && std::ranges::all_of(pulses, has_ended);
  status.state = over ? "ended" : alive ? "running" : "stopped";
}

// The last whole line of metrics.jsonl that has `key`; lines are short.
json last_with(const fs::path& path, const char* key) {
  if (!is_regular_file(path)) return {};  // a pipe would be waited for
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  constexpr std::streamoff enough = 256 << 10;
  const std::streamoff size = file.tellg();
  file.seekg(std::max<std::streamoff>(0, size - enough));
  json last;
  for (std::string line; std::getline(file, line) && !file.eof();) {
    json parsed = json::parse(line, nullptr, false);
    if (parsed.is_object() && parsed.contains(key) && parsed[key].is_number()) last = std::move(parsed);
  }
  return last;
}

std::optional<double> number(const json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_number()) return std::nullopt;
  return object[key].get<double>();
}

void take_config(RunStatus& status, const fs::path& file) {
  if (!fs::exists(file)) return;
  try {
    const Config config = Config::from_file(file.string());
    status.steps = config.section("run").integer("steps", 20, 0);
    if (!config.section("data").has("sequence_length")) status.unit = "samples";
  } catch (const Error&) {
    // it is about to be written
  }
}

void mark_slow(std::vector<RankStatus>& ranks) {
  std::vector<double> busy;
  for (const RankStatus& rank : ranks)
    if (const auto seconds = rank.pulse.median_busy()) busy.push_back(*seconds);
  if (busy.size() < few) return;
  const auto middle = busy.begin() + static_cast<ptrdiff_t>(busy.size() / 2);
  std::nth_element(busy.begin(), middle, busy.end());
  for (RankStatus& rank : ranks)
    if (const auto seconds = rank.pulse.median_busy(); seconds && *middle > 0) rank.slowness = *seconds / *middle;
}

double age_of(const RunEvent& event) {
  std::tm time{};
  if (!strptime(event.time.c_str(), "%Y-%m-%dT%H:%M:%SZ", &time)) return longest_restart;
  return std::abs(calendar() - static_cast<double>(timegm(&time)));
}

bool is_about_to_start(const RunStatus& status) {
  return status.state == "stopped" && status.event && status.event->event == "restart" &&
         age_of(*status.event) < longest_restart;
}

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json();
}

}  // namespace

RunStatus read_status(const std::string& run_folder) {
  if (!fs::is_directory(run_folder))
    throw Error(ExitCode::bad_input, message(run_folder, " is no run folder: there is no such folder"));
  const fs::path folder(run_folder);
  if (!fs::exists(folder / "config.toml") && !fs::exists(pulse_folder(run_folder)))
    throw Error(ExitCode::bad_input, message(run_folder, " is no run folder: it has neither config.toml nor pulse/"));
  RunStatus status;
  status.run = run_folder;
  look_at_ranks(status);
  status.event = last_event(run_folder);
  if (is_about_to_start(status)) status.state = "restarting";
  mark_slow(status.ranks);
  take_config(status, folder / "config.toml");
  const json last = last_with(folder / "metrics.jsonl", "loss");
  status.loss = number(last, "loss");
  status.tokens_per_second = number(last, "tokens_per_second");
  status.idle_share = number(last, "idle_share");
  status.validation_loss = number(last_with(folder / "metrics.jsonl", "validation_loss"), "validation_loss");
  if (status.step == 0) status.step = static_cast<int64_t>(number(last, "step").value_or(0));
  if (status.state == "running" && status.steps)
    if (const auto step = status.ranks.front().pulse.median_step())
      status.seconds_left = *step * static_cast<double>(std::max<int64_t>(0, *status.steps - status.step));
  return status;
}

std::string status_json(const RunStatus& status) {
  json ranks = json::array();
  for (const RankStatus& rank : status.ranks)
    ranks.push_back({{"rank", rank.pulse.rank},
                     {"host", rank.pulse.host},
                     {"step", rank.pulse.step},
                     {"phase", text_of(rank.pulse.phase)},
                     {"action", rank.pulse.action()},
                     {"waits_for", rank.pulse.waits_for >= 0 ? json(rank.pulse.waits_for) : json()},
                     {"seconds_since", rank.seconds_since},
                     {"step_seconds", or_null(rank.pulse.median_step())},
                     {"busy_seconds", or_null(rank.pulse.median_busy())},
                     {"rss_mib", rank.pulse.rss_mib}});
  json event;
  if (status.event)
    event = {{"time", status.event->time},
             {"event", status.event->event},
             {"rank", or_null(status.event->rank)},
             {"step", status.event->step},
             {"reason", status.event->reason}};
  const json all = {{"run", status.run},
                    {"state", status.state},
                    {"step", status.step},
                    {"steps", or_null(status.steps)},
                    {"loss", or_null(status.loss)},
                    {"validation_loss", or_null(status.validation_loss)},
                    {"tokens_per_second", or_null(status.tokens_per_second)},
                    {"idle_share", or_null(status.idle_share)},
                    {"seconds_left", or_null(status.seconds_left)},
                    {"event", event},
                    {"ranks", ranks}};
  return all.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace interlock
