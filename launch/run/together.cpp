#include "launch/run/together.h"

#include <unistd.h>

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <span>
#include <thread>
#include <vector>

#include "launch/run/failure.h"
#include "parallel/transport/group.h"
#include "parallel/transport/mpi.h"
#include "runtime/core/log.h"

namespace interlock {
namespace {

struct Refusal {
  int code = 0;  // an ExitCode; 0: none
  std::string host, text;
};

std::string host_name() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

// "CODE HOST TEXT", or "" for none; a host name has no blanks.
std::string packed(const Refusal& refusal) {
  return refusal.code == 0 ? "" : message(refusal.code, " ", refusal.host, " ", refusal.text);
}

Refusal unpacked(const std::string& bytes) {
  Refusal refusal;
  std::istringstream words(bytes);
  if (!(words >> refusal.code >> refusal.host)) return {};
  words.get();
  refusal.text.assign(std::istreambuf_iterator<char>(words), {});
  return refusal;
}

Refusal attempt(const std::function<void()>& prepare) {
  try {
    prepare();
    return {};
  } catch (...) {
    const Error error = as_error();
    return {static_cast<int>(error.code()), host_name(), error.what()};
  }
}

// On rank 0, from what every rank said; code 0 on the others.
Refusal verdict_of(Group& world, const Refusal& own) {
  std::vector<Refusal> said;
  for (const std::string& one : world.gather(packed(own), 0)) said.push_back(unpacked(one));
  if (world.position() != 0) return {};
  Refusal verdict;
  int refused = 0, alike = 0;
  for (int rank = 0; rank < world.size(); ++rank) {
    if (said[rank].code == 0) continue;
    if (refused++ == 0) {
      verdict = said[rank];
      verdict.text = message("rank ", rank, " on ", verdict.host, ": ", said[rank].text);
    }
    alike += said[rank].text == said.front().text;
  }
  if (alike == world.size()) {
    verdict.text = said.front().text;
  } else if (refused > 1) {
    verdict.text += message(" (", refused, " of ", world.size(), " ranks cannot start)");
  }
  return verdict;
}

void let_others_end(const LaunchPlace& place) {
  // They have nothing left to do but to end; srun needs to hear of it from the nodes.
  if (place.slurm_step) std::this_thread::sleep_for(std::chrono::seconds(1));
}

[[noreturn]] void end_quietly(int code) {
  flush_log();
  std::cout.flush();
  _exit(code);
}

// After MPI has ended: the code is rank 0's to tell.
int leave(const LaunchPlace& place, int code) {
  if (code == 0) return 0;
  if (place.rank != 0) end_quietly(0);
  let_others_end(place);
  return code;
}

std::unique_ptr<Transport> start_mpi(const LaunchPlace& place) {
  if (!place.no_mpi.empty()) {
    // Said once, and by none before rank 0 has: a launcher ends the others when one fails. Of a step of Slurm rank 0's
    // code is enough; elsewhere a variable that was left over would make a failure look like success.
    if (place.rank != 0 && place.slurm_step) end_quietly(0);
    if (place.rank != 0) {
      std::this_thread::sleep_for(std::chrono::seconds(2));
      end_quietly(static_cast<int>(ExitCode::config));
    }
    let_others_end(place);
    throw Error(ExitCode::config, place.no_mpi);
  }
  try {
    return make_mpi();
  } catch (const Error& error) {
    // What keeps MPI from starting is mostly the same for all, and rank 0 says it; where it is not, we are heard too.
    if (place.rank != 0) std::this_thread::sleep_for(std::chrono::seconds(2));
    throw;
  }
}

}  // namespace

std::optional<Error> meet(Transport& transport, const std::function<void()>& prepare) {
  const Refusal own = attempt(prepare);
  Group world = Group::of_all(transport);
  const Refusal agreed = unpacked(world.broadcast(packed(verdict_of(world, own)), 0));
  if (agreed.code == 0) return std::nullopt;
  return Error(static_cast<ExitCode>(agreed.code), agreed.text);
}

void begin_together(Transport& transport, const std::function<void()>& prepare) {
  if (const auto refusal = meet(transport, prepare)) throw CommonError(*refusal);
}

std::optional<Error> compare_configs(Transport& transport, const ConfigValues& own) {
  const std::string sent = Group::of_all(transport).broadcast(nlohmann::json(own).dump(), 0);
  return meet(transport, [&] {
    const auto first = nlohmann::json::parse(sent).get<ConfigValues>();
    const auto value_in = [](const ConfigValues& values, const std::string& key) {
      const auto found = values.find(key);
      return found == values.end() ? std::string("not set") : found->second;
    };
    ConfigValues both = first;
    both.insert(own.begin(), own.end());
    for (const auto& [key, ignored] : both) {
      const bool of_the_host = key == "run.device" || key == "parallel.threads" || key.starts_with("monitor.");
      const std::string here = value_in(own, key), there = value_in(first, key);
      if (!of_the_host && here != there)
        throw Error(ExitCode::config,
                    message(key, " is ", here, ", and ", there, " on rank 0: all ranks need one config; ",
                            "copy it to every host, or name one that all of them see"));
    }
  });
}

int run_together(const LaunchPlace& place, const std::function<ConfigValues(Transport&)>& prepare,
                 const std::function<int(Transport&)>& work) {
  auto transport = start_mpi(place);
  int code = 0;
  try {
    ConfigValues values;
    begin_together(*transport, [&] { values = prepare(*transport); });
    if (const auto refusal = compare_configs(*transport, values)) throw CommonError(*refusal);
    code = work(*transport);
  } catch (const CommonError& error) {
    if (place.rank == 0) say_error(error.what());
    code = static_cast<int>(error.code());
  } catch (...) {
    const Error error = as_error();
    say_error(message("rank ", place.rank, ": ", error.what()));
    transport->abort(static_cast<int>(error.code()), error.what());
    return static_cast<int>(error.code());
  }
  transport.reset();
  return leave(place, code);
}

}  // namespace interlock
