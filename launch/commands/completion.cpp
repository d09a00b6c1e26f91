// `interlock completion`: a script that makes Tab offer commands, options and keys.

#include <CLI/CLI.hpp>
#include <iostream>

#include "launch/command.h"
#include "launch/completion/words.h"
#include "launch/settings/known_keys.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

class Completion final : public Command {
 public:
  std::string summary() const override { return "print a script that completes commands, options and keys in a shell"; }

  void declare(CLI::App& app) override {
    app.add_option("shell", shell_,
                   "bash: source <(interlock completion bash); zsh: source <(interlock completion zsh)")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh"}));
    program_ = app.get_parent();
  }

  int run() override {
    const CompletionTable table{completed_command(*program_), known_keys()};
    std::cout << (shell_ == "bash" ? bash_completion(table) : zsh_completion(table));
    return static_cast<int>(ExitCode::done);
  }

 private:
  const CLI::App* program_ = nullptr;  // whole by the time it is read
  std::string shell_;
};

const Registration<Command> registered("completion", [] { return std::make_unique<Completion>(); });

}  // namespace
}  // namespace interlock
