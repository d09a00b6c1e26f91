#pragma once
// What this room says to Boost.Asio: its names, a deadline and an address. For the .cpp files here alone: the library's
// headers cost seconds of compilation.

#include <boost/asio.hpp>
#include <chrono>

#include "runtime/core/listen_address.h"

namespace interlock {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

inline Clock::duration seconds_of(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

inline tcp::endpoint endpoint_of(const ListenAddress& where) {
  return {asio::ip::make_address(where.address), where.port};
}

}  // namespace interlock
