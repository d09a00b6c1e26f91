// `interlock tokenize encode`: documents to a token file.

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "launch/commands/tokenize/input.h"
#include "launch/terminal/json_line.h"
#include "runtime/core/error.h"
#include "runtime/data/token_file.h"
#include "runtime/data/tokenizer/byte_level_tokenizer.h"

namespace interlock {
namespace {

// The ids of a block: its parts end at `ends`.
struct Encoded {
  std::vector<int32_t> ids;
  struct End {
    size_t at;
    bool of_document;
  };
  std::vector<End> ends;
};

Encoded encode(const ByteLevelTokenizer& tokenizer, const TextBlock& block) {
  Encoded encoded;
  for (const TextBlock::Part& part : block.parts) {
    tokenizer.encode_part(std::string_view(block.text).substr(part.begin, part.end - part.begin), !part.begins,
                          encoded.ids);
    encoded.ends.push_back({encoded.ids.size(), part.ends});
  }
  return encoded;
}

class TokenizeEncode final : public Command {
 public:
  std::string summary() const override { return "turn text into a token file (PREFIX.bin and PREFIX.idx)"; }

  void declare(CLI::App& app) override {
    app.add_option("--tokenizer", tokenizer_, "folder of a tokenizer, or a tokenizer.json")
        ->type_name("PATH")
        ->required();
    input_.declare(app);
    app.add_option("--output", prefix_, "PREFIX of the two files")->type_name("PREFIX")->required();
    app.add_flag("--overwrite", overwrite_, "replace files that are there");
    app.add_flag("--json", json_, "end with one JSON object on stdout");
  }

  int run() override {
    refuse_existing({prefix_ + ".bin", prefix_ + ".idx"}, overwrite_);
    const auto tokenizer = ByteLevelTokenizer::open(tokenizer_);
    make_folder();
    const Interruption interruption;  // from before there is a temporary file
    const auto start = std::chrono::steady_clock::now();
    TokenFileWriter writer(prefix_, tokenizer->vocabulary());
    int64_t documents = 0, tokens = 0;
    const CutRule rule{[&](std::string_view text, size_t at) { return tokenizer->is_cut(text, at); },
                       tokenizer->cut_reach()};
    const TokenizeInput::Read read = input_.run<Encoded>(
        "encoding", rule, [&](TextBlock block, int) { return encode(*tokenizer, block); },
        [&](const Encoded& encoded) {
          size_t begin = 0;
          for (const Encoded::End& end : encoded.ends) {
            writer.add_part(std::span(encoded.ids).subspan(begin, end.at - begin));
            if (end.of_document) writer.end_document();
            documents += end.of_document;
            begin = end.at;
          }
          tokens += static_cast<int64_t>(encoded.ids.size());
        },
        interruption);
    if (documents == 0) throw Error(ExitCode::bad_input, "--input: there is no text in these files");
    interruption.check();
    writer.commit();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    report(*tokenizer, read, documents, tokens, seconds);
    return static_cast<int>(ExitCode::done);
  }

 private:
  void make_folder() const {
    const std::filesystem::path folder = std::filesystem::path(prefix_).parent_path();
    std::error_code problem;
    if (!folder.empty()) std::filesystem::create_directories(folder, problem);
    if (problem) throw Error(ExitCode::cannot_write, message("cannot make ", folder.string(), ": ", problem.message()));
  }

  void report(const Tokenizer& tokenizer, const TokenizeInput::Read& read, int64_t documents, int64_t tokens,
              double seconds) const {
    if (json_) {
      std::cout << json_line(nlohmann::ordered_json{{"prefix", prefix_},
                                                    {"files", read.files},
                                                    {"documents", documents},
                                                    {"tokens", tokens},
                                                    {"bytes", read.bytes},
                                                    {"replaced", read.replaced},
                                                    {"vocabulary", tokenizer.vocabulary()},
                                                    {"fingerprint", tokenizer.fingerprint()},
                                                    {"seconds", seconds},
                                                    {"bytes_per_second", static_cast<double>(read.bytes) / seconds}})
                << std::flush;
      return;
    }
    std::cout << prefix_ << ".bin, " << prefix_ << ".idx: " << with_commas(documents) << " documents, "
              << with_commas(tokens) << " tokens from " << with_commas(read.bytes) << " bytes\n";
    if (read.replaced > 0) std::cout << with_commas(read.replaced) << " places were not UTF-8 and became U+FFFD\n";
  }

  TokenizeInput input_;
  std::string tokenizer_, prefix_;
  bool overwrite_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_tokenize_encode() { return std::make_unique<TokenizeEncode>(); }

}  // namespace interlock
