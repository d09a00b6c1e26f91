#pragma once
// How ranks learn where the head listens and what the run's secret is: as bytes over a pipe that rank 0 inherits, and
// from there over MPI.

#include <optional>
#include <string>
#include <string_view>

#include "launch/heartbeat/secret.h"
#include "runtime/core/listen_address.h"

namespace interlock {

struct Invitation {
  ListenAddress head;
  Secret secret{};

  std::string bytes() const { return head.text() + "\n" + std::string(text_of(secret)); }
  static std::optional<Invitation> from(std::string_view bytes);
};

// Everything that comes from this descriptor until its end, or for `seconds`; "" where that is more than an invitation.
std::string read_invitation(int descriptor, double seconds);

// Says to a rank 0 that an invitation waits at its standard input; no more than that.
inline constexpr const char* invitation_variable = "INTERLOCK_INVITED";

}  // namespace interlock
