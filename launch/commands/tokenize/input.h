#pragma once
// The template of tokenize.h's TokenizeInput.

#include <filesystem>

#include "launch/commands/tokenize/tokenize.h"
#include "launch/terminal/amount_progress.h"
#include "launch/terminal/interruption.h"
#include "runtime/data/tokenizer/in_order.h"

namespace interlock {

template <class Result>
TokenizeInput::Read TokenizeInput::run(const std::string& label, CutRule rule,
                                       std::function<Result(TextBlock, int worker)> work,
                                       std::function<void(Result)> consume, const Interruption& interruption) const {
  struct Done {
    Result result;
    int64_t bytes;
  };
  const std::vector<std::string> paths = files();
  Read read;
  read.files = static_cast<int64_t>(paths.size());
  int64_t total = 0, shown = 0;
  for (const std::string& path : paths) total += static_cast<int64_t>(std::filesystem::file_size(path));

  DocumentReader::Options options;
  options.kind = DocumentKind::parse(document_);
  options.on_invalid = invalid_ == "replace" ? Utf8Stream::OnInvalid::replace : Utf8Stream::OnInvalid::error;
  DocumentReader reader(paths, options, std::move(rule));
  AmountProgress progress(label, total, true);
  try {
    InOrder<TextBlock, Done> line;
    line.produce = [&] { return reader.next(); };
    line.work = [&](TextBlock block, int worker) {
      const int64_t bytes = block.input_bytes;
      return Done{work(std::move(block), worker), bytes};
    };
    line.consume = [&](Done done) {
      interruption.check();
      consume(std::move(done.result));
      shown += done.bytes;
      progress.show(shown);
    };
    line.run(threads());
  } catch (...) {
    progress.finish();
    throw;
  }
  read.bytes = reader.bytes();
  read.replaced = reader.replaced();
  return read;
}

}  // namespace interlock
