#pragma once
// Links that are slower than they are: to measure on one machine what those of a cluster would cost. For tests and
// experiments; whoever trains over them says so.

#include <memory>

#include "parallel/transport/link_speed.h"
#include "parallel/transport/transport.h"

namespace interlock {

// `inner` with messages that arrive no sooner than they would over such links: what a rank sends to another leaves one
// after the other, and is there `latency` later. `inner` stays alive, keeps its messages in host memory, and all its
// ranks run on one machine, whose clock they share. Every message is copied once on each side.
std::unique_ptr<Transport> make_slow_links(Transport& inner, const LinkSpeed& speed);

}  // namespace interlock
