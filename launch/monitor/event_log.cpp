#include "launch/monitor/event_log.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/core/calendar.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/core/readable_file.h"

namespace interlock {
namespace {

std::string json_line(const RunEvent& event) {
  const nlohmann::ordered_json line = {
      {"time", event.time},
      {"event", event.event},
      {"rank", event.rank ? nlohmann::ordered_json(*event.rank) : nlohmann::ordered_json()},
      {"step", event.step},
      {"reason", event.reason}};
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::optional<RunEvent> event_of(const std::string& line) {
  const auto parsed = nlohmann::json::parse(line, nullptr, false);
  if (!parsed.is_object()) return std::nullopt;
  const auto text = [&](const char* key) {
    return parsed.contains(key) && parsed[key].is_string() ? parsed[key].get<std::string>() : "";
  };
  const auto number = [&](const char* key) {
    return parsed.contains(key) && parsed[key].is_number_integer() ? std::make_optional(parsed[key].get<int64_t>())
                                                                   : std::nullopt;
  };
  return RunEvent{text("event"), number("rank"), number("step").value_or(0), text("reason"), text("time")};
}

}  // namespace

std::optional<RunEvent> last_event(const std::string& run_folder) {
  constexpr std::streamoff enough = 64 << 10;  // lines are short
  const std::string path = (std::filesystem::path(run_folder) / EventLog::file_name).string();
  if (!is_regular_file(path)) return std::nullopt;  // a pipe would be waited for
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return std::nullopt;
  file.seekg(std::max<std::streamoff>(0, file.tellg() - enough));
  std::optional<RunEvent> last;
  for (std::string line; std::getline(file, line) && !file.eof();)
    if (auto event = event_of(line)) last = std::move(event);
  return last;
}

void EventLog::add(RunEvent event) {
  event.time = now_utc();
  events_.push_back(std::move(event));
  std::error_code absent;
  if (!std::filesystem::is_directory(run_folder_, absent)) return;
  const std::string path = (std::filesystem::path(run_folder_) / file_name).string();
  std::ofstream file;
  if (!is_named(path) || is_regular_file(path)) file.open(path, std::ios::app);
  for (; file.is_open() && file && written_ < events_.size(); ++written_)
    file << json_line(events_[written_]) << std::flush;
  if (!file.is_open() || !file) log_warning(path + " cannot be written: what happens to the run is told here alone");
}

std::string EventLog::table() const {
  std::string text = "  time                  event    rank  step     reason\n";
  for (const RunEvent& event : events_) {
    char line[80];
    std::snprintf(line, sizeof line, "  %-20s  %-7s  %-4s  %-7lld  ", event.time.c_str(), event.event.c_str(),
                  event.rank ? std::to_string(*event.rank).c_str() : "-", static_cast<long long>(event.step));
    text += line + event.reason.substr(0, event.reason.find('\n')) + "\n";
  }
  return text;
}

}  // namespace interlock
