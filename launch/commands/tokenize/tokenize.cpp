// `interlock tokenize`: text to token files and back, by a tokenizer of one's own or a published one.

#include "launch/commands/tokenize/tokenize.h"

#include <CLI/CLI.hpp>

#include "launch/terminal/interruption.h"

namespace interlock {
namespace {

class Tokenize final : public Command {
 public:
  std::string summary() const override { return "train a tokenizer, turn text into token files and back"; }

  void declare(CLI::App& app) override {
    app.require_subcommand(1);
    for (auto [name, command] : {std::pair("train", &train_), {"encode", &encode_}, {"decode", &decode_}}) {
      CLI::App* sub = app.add_subcommand(name, (*command)->summary());
      (*command)->declare(*sub);
      parts_.emplace_back(sub, command->get());
    }
  }

  int run() override {
    try {
      for (const auto& [sub, command] : parts_) {
        if (sub->parsed()) return command->run();
      }
    } catch (const Interrupted& interrupted) {
      end_by(interrupted);
    }
    return static_cast<int>(ExitCode::usage);  // require_subcommand does not let it come to this
  }

 private:
  std::unique_ptr<Command> train_ = make_tokenize_train(), encode_ = make_tokenize_encode(),
                           decode_ = make_tokenize_decode();
  std::vector<std::pair<CLI::App*, Command*>> parts_;
};

const Registration<Command> registered("tokenize", [] { return std::make_unique<Tokenize>(); });

}  // namespace
}  // namespace interlock
