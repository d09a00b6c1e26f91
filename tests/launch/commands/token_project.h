#pragma once
// A small project whose model reads tokens: a tokenizer trained on its corpus, a token file, a config. And the means to
// change what stands in a safetensors file.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "runtime/storage/safetensors.h"
#include "tests/support/small_project.h"

namespace interlock {

class TokenProject : public SmallProject {
 protected:
  static constexpr int vocabulary = 280;

  void SetUp() override {
    once("tokenizer and tokens", [&] {
      expect_done(interlock({"tokenize", "train", "--input", "corpus", "--vocabulary", std::to_string(vocabulary),
                             "--output", "tokenizer"}));
      expect_done(
          interlock({"tokenize", "encode", "--tokenizer", "tokenizer", "--input", "corpus", "--output", "all"}));
    });
    write("config.toml", R"([model]
layers = 4
width = 16
heads = 2
feed_forward = 32
vocabulary = 280
max_length = 32

[tokenizer]
path = "tokenizer"

[data]
name = "tokens"
paths = ["all"]
sequence_length = 32
held_out = 0.3

[learning]
rule = "global"

[parallel]
stages = 4
microbatches = 2
transport = "loopback"

[checkpoint]
every = 2

[run]
steps = 2
folder = "run"
evaluate_every = 0
)");
  }
  // The run of config.toml as it is.
  void train_once() const {
    once("run", [&] { expect_done(train()); });
  }
};

struct StoredTensor {
  TensorEntry entry;
  std::string bytes;
};

struct StoredFile {
  std::map<std::string, std::string> metadata;
  std::map<std::string, StoredTensor> tensors;
};

inline StoredFile read_stored(const std::string& path) {
  const auto file = SafetensorsFile::open(path);
  StoredFile stored{file->metadata(), {}};
  for (const TensorEntry& entry : file->tensors()) {
    const auto bytes = file->bytes(entry);
    stored.tensors[entry.name] = {entry, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}};
  }
  return stored;
}

inline void write_stored(const std::string& path, const StoredFile& stored) {
  std::vector<TensorEntry> entries;
  for (const auto& [name, tensor] : stored.tensors) {
    entries.push_back(tensor.entry);
    entries.back().name = name;
  }
  SafetensorsWriter writer(path, entries, stored.metadata);
  for (const TensorEntry& entry : writer.order())
    writer.write(entry.name, std::as_bytes(std::span(stored.tensors.at(entry.name).bytes)));
  writer.commit();
}

inline void change_stored(const std::string& path, const std::function<void(StoredFile&)>& change) {
  StoredFile stored = read_stored(path);
  change(stored);
  write_stored(path, stored);
}

}  // namespace interlock
