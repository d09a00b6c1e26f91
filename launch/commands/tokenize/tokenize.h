#pragma once
// The parts of `interlock tokenize`, one file each, and what they share.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "launch/command.h"
#include "launch/terminal/interruption.h"
#include "runtime/data/tokenizer/documents.h"

namespace interlock {

std::unique_ptr<Command> make_tokenize_train();
std::unique_ptr<Command> make_tokenize_encode();
std::unique_ptr<Command> make_tokenize_decode();

// Text that is read: the options for it, and documents out of it by several threads.
class TokenizeInput {
 public:
  void declare(CLI::App& app);

  struct Read {
    int64_t bytes = 0, files = 0, replaced = 0;
  };
  // `work` gets each block on one of threads() threads, `consume` the results in the order of the text, on this thread.
  // Shows progress. The caller holds `interruption` for as long as it has anything to unwind after Ctrl-C.
  template <class Result>
  Read run(const std::string& label, CutRule rule, std::function<Result(TextBlock, int worker)> work,
           std::function<void(Result)> consume, const Interruption& interruption) const;
  int threads() const;

 private:
  std::vector<std::string> files() const;

  std::vector<std::string> paths_;
  std::string document_ = "file", invalid_ = "error";
  int threads_ = 0;
};

// Refuses to write over any of `files` that is there. Error(cannot_write)
void refuse_existing(const std::vector<std::string>& files, bool overwrite);
std::string with_commas(int64_t number);  // 1,234,567

}  // namespace interlock
