#pragma once
// Batches compared to the bit, and one of every kind of dataset.

#include <cstring>

#include "tests/data/token_support.h"

namespace interlock {

// Shape, type and bytes; or neither is there.
inline void expect_same(const at::Tensor& found, const at::Tensor& expected, const std::string& what) {
  ASSERT_EQ(found.defined(), expected.defined()) << what;
  if (!found.defined()) return;
  ASSERT_EQ(found.sizes(), expected.sizes()) << what;
  ASSERT_EQ(found.scalar_type(), expected.scalar_type()) << what;
  ASSERT_TRUE(found.is_contiguous() && expected.is_contiguous()) << what;
  EXPECT_EQ(std::memcmp(found.const_data_ptr(), expected.const_data_ptr(), expected.nbytes()), 0) << what;
}

// `found` is what `parts` says of `whole`, and has all that every batch has.
inline void expect_parts(const Batch& found, const Batch& whole, BatchParts parts, const std::string& what) {
  expect_same(found.inputs, parts.inputs ? whole.inputs : at::Tensor(), what + ", inputs");
  expect_same(found.targets, parts.targets ? whole.targets : at::Tensor(), what + ", targets");
  expect_same(found.lengths, whole.lengths, what + ", lengths");
  EXPECT_EQ(found.sample_ids, whole.sample_ids) << what;
  EXPECT_EQ(found.predicted, whole.predicted) << what;
}

inline constexpr BatchParts every_choice_of_parts[] = {{true, true}, {true, false}, {false, true}, {false, false}};

// Opened datasets by name, over small files in `folder`: `text`, `tokens` in its variants, `idx`, `spirals`, `labelled`
// under each objective.
inline std::map<std::string, std::shared_ptr<const Dataset>> every_dataset(const TemporaryFolder& folder) {
  std::mt19937 random(11);
  std::map<std::string, std::shared_ptr<const Dataset>> all;
  const auto add = [&](const std::string& name, const std::string& kind, const std::string& toml) {
    std::shared_ptr<Dataset> dataset = make_dataset(kind, toml);
    dataset->open();
    all[name] = dataset;
  };
  put(folder.file("text"), lined_text(random, 300, 12));
  add("text", "text", "[data]\npaths = [" + quoted(folder.file("text")) + "]\nsequence_length = 24");

  const auto tokenizer = small_tokenizer(folder.file("tokenizer"));
  for (const char* name : {"tokens-a", "tokens-b"}) {
    std::vector<std::string> texts(40);
    for (std::string& text : texts) {
      if (random() % 5 == 0) continue;  // an empty document
      text = random() % 3 == 0 ? spaced_text(random, 1 + random() % 60) : lined_text(random, 1 + random() % 20, 12);
      if (random() % 4 == 0) text += "x<mask>y";
    }
    write_texts(folder.file(name), texts, *tokenizer);
  }
  const std::string tokens = "[tokenizer]\npath = " + quoted(folder.file("tokenizer")) + "\n[data]\npaths = [" +
                             quoted(folder.file("tokens-a")) + ", " + quoted(folder.file("tokens-b")) +
                             "]\nsequence_length = 24\n";
  for (const std::string packing : {"full_sentences", "doc_sentences"}) {
    for (const std::string whole_word : {"false", "true"}) {
      add("tokens, " + packing + ", whole words " + whole_word, "tokens",
          tokens + "packing = '" + packing + "'\n[objective]\nwhole_word = " + whole_word);
    }
  }
  add("tokens, weights", "tokens", tokens + "weights = [1, 3]");

  std::string pixels, labels;
  for (int i = 0; i < 60; ++i) {
    for (int p = 0; p < 6; ++p) pixels += static_cast<char>(random() % 256);
    labels += static_cast<char>(random() % 4);
  }
  put(folder.file("images"), std::string("\0\0\x08\x03\0\0\0\x3c\0\0\0\x02\0\0\0\x03", 16) + pixels);
  put(folder.file("labels"), std::string("\0\0\x08\x01\0\0\0\x3c", 8) + labels);
  add("idx", "idx",
      "[data]\nimages = " + quoted(folder.file("images")) + "\nlabels = " + quoted(folder.file("labels")) +
          "\nfeatures = 6\nclasses = 4\nheld_out = 0.2");
  add("spirals", "spirals", "[data]\nsamples = 70\nclasses = 5\nheld_out = 0.2");

  std::string rows = "text\tsecond\tlabel\n";
  for (int i = 0; i < 60; ++i)
    rows += std::string(1 + random() % 30, 'a') + std::to_string(i) + "\t" + std::to_string(random()) + "\t" +
            std::to_string(i % 3) + "\n";
  put(folder.file("rows.tsv"), rows);
  for (const std::string objective : {"classification", "regression", "masked"})
    add("labelled, " + objective, "labelled",
        "[data]\npaths = [" + quoted(folder.file("rows.tsv")) +
            "]\npair = 'second'\nheld_out = 0.3\nsequence_length = 32\n[objective]\nname = '" + objective + "'");
  return all;
}

}  // namespace interlock
