#pragma once
// A dataset from a few lines of TOML, and its samples as plain vectors.

#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "runtime/core/config.h"
#include "runtime/data/byte_tokens.h"
#include "runtime/data/dataset.h"
#include "runtime/data/loader.h"
#include "tests/storage/support.h"

namespace interlock {

inline std::unique_ptr<Dataset> make_dataset(const std::string& name, const std::string& toml, uint64_t seed = 1) {
  const Config config = Config::from_text(toml);
  const DatasetSettings settings{config.section("data"), config.section("objective"), config.section("tokenizer"),
                                 seed};
  return Datasets::instance().create("dataset", name, settings);
}

// [data] with these paths; `more` are further lines of the section.
inline std::unique_ptr<Dataset> text_dataset(const std::string& paths, const std::string& more = "",
                                             uint64_t seed = 1) {
  auto dataset = make_dataset("text", "[data]\npaths = [" + paths + "]\n" + more, seed);
  dataset->open();
  return dataset;
}
inline std::string quoted(const std::string& path) { return "'" + path + "'"; }

inline std::vector<int64_t> numbers(int64_t first, int64_t count) {
  std::vector<int64_t> list(static_cast<size_t>(count));
  std::iota(list.begin(), list.end(), first);
  return list;
}

inline std::vector<int64_t> row(const at::Tensor& tensor, int64_t index) {
  const int64_t width = tensor.size(1);
  const int64_t* data = tensor.const_data_ptr<int64_t>() + index * width;
  return {data, data + width};
}

// The bytes a row was made from: targets where masked, inputs elsewhere; checks the frame of specials and padding.
inline std::string original(const Batch& batch, int64_t index) {
  const auto inputs = row(batch.inputs, index), targets = row(batch.targets, index);
  const int64_t width = batch.inputs.size(1);
  const int64_t length = batch.lengths.defined() ? batch.lengths.const_data_ptr<int64_t>()[index] : width;
  EXPECT_EQ(inputs[0], byte_tokens::begin);
  EXPECT_EQ(inputs[static_cast<size_t>(length - 1)], byte_tokens::end);
  std::string bytes;
  for (int64_t i = 0; i < width; ++i) {
    const int64_t input = inputs[static_cast<size_t>(i)], target = targets[static_cast<size_t>(i)];
    if (i == 0 || i >= length - 1) {
      EXPECT_EQ(target, ignored_target) << "specials and padding are never predicted";
      EXPECT_TRUE(i < length || input == byte_tokens::pad);
      continue;
    }
    const int64_t token = target == ignored_target ? input : target;
    EXPECT_TRUE(byte_tokens::is_byte(token)) << token;
    bytes += static_cast<char>(byte_tokens::to_byte(token));
  }
  return bytes;
}

// How often each content occurs among the samples with these numbers.
inline std::map<std::string, int> contents(const Dataset& dataset, Split split, const std::vector<int64_t>& list) {
  std::map<std::string, int> found;
  for (const int64_t number : list) ++found[original(dataset.batch(split, {&number, 1}), 0)];
  return found;
}

// `text` cut into samples as the dataset promises to cut it.
inline std::map<std::string, int> chunks_of(const std::vector<std::string>& files, size_t bytes) {
  std::map<std::string, int> found;
  for (const std::string& file : files) {
    for (size_t at = 0; at < file.size(); at += bytes) ++found[file.substr(at, bytes)];
  }
  return found;
}

}  // namespace interlock
