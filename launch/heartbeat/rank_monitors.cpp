#include "launch/heartbeat/rank_monitors.h"

#include <unistd.h>

#include <cstdlib>

#include "launch/heartbeat/invitation.h"
#include "launch/monitor/prometheus.h"
#include "parallel/transport/group.h"
#include "runtime/core/log.h"
#include "runtime/core/lost.h"

namespace interlock {
namespace {

constexpr double seconds_for_invitation = 10;

// On rank 0; "": there is none.
std::string invitation_of(const ListenAddress& listen, int ranks, std::unique_ptr<HeartbeatHead>& head) {
  if (std::getenv(invitation_variable) != nullptr) return read_invitation(STDIN_FILENO, seconds_for_invitation);
  try {
    const Secret secret = random_bytes();
    head = std::make_unique<HeartbeatHead>(listen, secret, ranks);
    return Invitation{{listen.address, head->port()}, secret}.bytes();
  } catch (const Error& error) {
    log_warning(message("monitor.listen: ", error.what(), "; the ranks are watched through the run folder alone"));
    return "";
  }
}

std::string from_rank_zero(Transport& transport, const std::string& text) {
  return Group::of_all(transport).broadcast(text, 0);
}

std::vector<PulseRecord> pulses_of_host(const std::string& run_folder, const std::string& host) {
  std::vector<PulseRecord> own = read_pulses(run_folder);
  std::erase_if(own, [&](const PulseRecord& pulse) { return host != pulse.host; });
  return own;
}

[[noreturn]] void end_with_the_run() {
  say_error("the head of the heartbeats has ended the run");
  _exit(static_cast<int>(lost_rank));
}

}  // namespace

std::unique_ptr<MetricsServer> serve_metrics(const std::string& run_folder, const std::optional<ListenAddress>& where) {
  if (!where) return nullptr;
  try {
    return std::make_unique<MetricsServer>(*where, [run_folder] { return prometheus_text(read_status(run_folder)); });
  } catch (const Error& error) {
    log_warning(message("monitor.metrics: ", error.what(), "; the run goes on without"));
    return nullptr;
  }
}

RankMonitors::RankMonitors(const Settings& settings, const LaunchPlace& place, Transport& transport) {
  if (place.rank == 0 && !settings.supervised) metrics_ = serve_metrics(settings.run_folder, settings.metrics);
  if (!settings.listen) return;
  const std::string own = place.rank == 0 ? invitation_of(*settings.listen, transport.size(), head_) : "";
  const auto invitation = Invitation::from(from_rank_zero(transport, own));
  if (!invitation || place.local_rank != 0) return;
  const std::string host = own_host();
  HeartbeatNode::Settings node{invitation->head, invitation->secret, host, {}};
  node.ranks = [folder = settings.run_folder, host] { return pulses_of_host(folder, host); };
  node.stopped = end_with_the_run;
  node_ = std::make_unique<HeartbeatNode>(std::move(node));
}

}  // namespace interlock
