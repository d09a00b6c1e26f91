// `interlock tokenize decode`: the text of a token file.

#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "launch/commands/tokenize/tokenize.h"
#include "launch/folders/output_apart.h"
#include "launch/terminal/interruption.h"
#include "launch/terminal/json_line.h"
#include "launch/terminal/printable_output.h"
#include "runtime/core/error.h"
#include "runtime/data/token_file.h"
#include "runtime/data/tokenizer.h"
#include "runtime/storage/temporary_file.h"

namespace interlock {
namespace {

// A file under a temporary name until commit().
class OutputFile {
 public:
  explicit OutputFile(const std::string& path) : path_(path), file_(create_temporary(path, temporary_)) {}
  ~OutputFile() { discard(file_, temporary_); }
  OutputFile(const OutputFile&) = delete;
  void write(const std::string& text) { write_all(file_, std::as_bytes(std::span(text)), path_); }
  void commit() { publish(file_, temporary_, path_); }

 private:
  std::string path_, temporary_;
  int file_;
};

// "\n" and the like, as a shell passes them on.
std::string unescaped(const std::string& text) {
  std::string plain;
  for (size_t at = 0; at < text.size(); ++at) {
    const char next = text[at] == '\\' && at + 1 < text.size() ? text[at + 1] : '\1';
    const size_t known = std::string_view("nt0\\").find(next);
    plain += known == std::string::npos ? text[at] : "\n\t\0\\"[known];
    at += known != std::string::npos;
  }
  return plain;
}

class TokenizeDecode final : public Command {
 public:
  std::string summary() const override { return "turn a token file back into text"; }

  void declare(CLI::App& app) override {
    app.add_option("--tokenizer", tokenizer_, "folder of a tokenizer, or a tokenizer.json")
        ->type_name("PATH")
        ->required();
    app.add_option("prefix", prefix_, "PREFIX of the token file")->required();
    app.add_option("--output", output_, "a file for the text (default: stdout)")->type_name("FILE");
    app.add_option("--separator", separator_, "text behind every document, such as \"\\n\" (default: nothing)");
    app.add_flag("--overwrite", overwrite_, "replace a file that is there");
    app.add_flag("--json", json_, "end with one JSON object on stdout; needs --output");
  }

  int run() override {
    if (json_ && output_.empty()) throw Error(ExitCode::usage, "--json needs --output: the text itself goes to stdout");
    if (!output_.empty()) refuse_existing({output_}, overwrite_);
    refuse_over_sources("--output", output_, {tokenizer_, prefix_ + ".bin", prefix_ + ".idx"});
    const auto tokenizer = Tokenizer::open(tokenizer_);
    const auto tokens = TokenFile::open(prefix_);
    const Interruption interruption;  // from before there is a temporary file
    int64_t bytes = 0;
    if (output_.empty()) {
      decode(*tokenizer, *tokens, interruption, [&](const std::string& text) { raw_output() << text; });
    } else {
      OutputFile file(output_);
      decode(*tokenizer, *tokens, interruption, [&](const std::string& text) {
        file.write(text);
        bytes += static_cast<int64_t>(text.size());
      });
      file.commit();
    }
    if (json_)
      std::cout << json_line(nlohmann::ordered_json{{"output", output_},
                                                    {"documents", tokens->documents()},
                                                    {"tokens", tokens->tokens()},
                                                    {"bytes", bytes}})
                << std::flush;
    return static_cast<int>(ExitCode::done);
  }

 private:
  template <class Write>
  void decode(const Tokenizer& tokenizer, const TokenFile& tokens, const Interruption& interruption,
              Write write) const {
    constexpr int64_t most_at_once = 1 << 16;
    const std::string separator = unescaped(separator_);
    std::vector<int32_t> ids;
    for (int64_t document = 0; document < tokens.documents(); ++document) {
      const int64_t length = tokens.document_tokens(document);
      for (int64_t at = 0; at < length; at += most_at_once) {
        interruption.check();
        ids.resize(static_cast<size_t>(std::min(most_at_once, length - at)));
        tokens.read(document, at, ids);
        check_ids(tokenizer, ids, document, at);
        write(tokenizer.decode(ids));
      }
      if (!separator.empty()) write(separator);
    }
  }

  void check_ids(const Tokenizer& tokenizer, const std::vector<int32_t>& ids, int64_t document, int64_t begin) const {
    for (size_t at = 0; at < ids.size(); ++at) {
      if (ids[at] < 0 || ids[at] >= tokenizer.vocabulary())
        throw Error(ExitCode::bad_input,
                    message(prefix_, ".bin: document ", document, ", token ", begin + static_cast<int64_t>(at),
                            " has the id ", ids[at], ", but the vocabulary of ", tokenizer_, " has ",
                            tokenizer.vocabulary(), "; was it written with another tokenizer?"));
    }
  }

  std::string tokenizer_, prefix_, output_, separator_;
  bool overwrite_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_tokenize_decode() { return std::make_unique<TokenizeDecode>(); }

}  // namespace interlock
