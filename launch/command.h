#pragma once
// A subcommand of `interlock`. One command per file, registered by name; main finds it and gives it the rest of the
// line.

#include <string>

#include "runtime/core/registry.h"

namespace CLI {
class App;
}

namespace interlock {

class Command {
 public:
  virtual ~Command() = default;
  virtual std::string summary() const = 0;
  // Declares arguments and options. `app` outlives the command.
  virtual void declare(CLI::App& app) = 0;
  // Whether SIGUSR1 asks it to stop (launch/supervisor/stop_request.h): then one that comes early waits until run() has
  // said what it does with it. Else the signal ends the process, as it ends any other.
  virtual bool takes_stop_requests() const { return false; }
  // Returns the exit code; throws Error for what a user caused.
  virtual int run() = 0;
};

using Commands = Registry<Command>;

}  // namespace interlock
