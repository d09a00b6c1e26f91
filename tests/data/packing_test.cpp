// Packing against a plain one over decoded text: sentences by their pre-tokens, then greedily into samples.

#include "runtime/data/packing.h"

#include <gmock/gmock.h>

#include <map>

#include "tests/data/token_support.h"

namespace interlock {
namespace {

// Sentences of a text as ids: cut after each pre-token with a line feed, each encoded for itself. That gives the ids of
// the whole: merges never cross pre-tokens, and the one run that is cut otherwise when its sentence stands alone (" "
// and
// "\n" before a letter) has no merge in this tokenizer.
std::vector<Ids> sentences_of(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<Ids> sentences;
  size_t first = 0, begin = 0;
  for (const size_t end : pretoken_ends(text)) {
    if (text.find('\n', begin) < end || end == text.size()) {
      sentences.push_back(ids_of(tokenizer, text.substr(first, end - first)));
      first = end;
    }
    begin = end;
  }
  return sentences;
}

struct Plain {
  std::vector<Ids> samples;
  std::vector<int64_t> predictable;
};

// The rules, one sentence at a time.
Plain pack_plainly(const Tokenizer& tokenizer, const std::vector<std::string>& texts, size_t capacity, bool cross) {
  const auto separator = static_cast<int32_t>(tokenizer.specials().end);
  std::vector<Ids> samples;
  for (const std::string& text : texts) {
    bool first_of_document = true;
    for (const Ids& sentence : sentences_of(tokenizer, text)) {
      for (size_t at = 0; at < sentence.size(); at += capacity) {
        const Ids piece(sentence.begin() + static_cast<std::ptrdiff_t>(at),
                        sentence.begin() + static_cast<std::ptrdiff_t>(std::min(at + capacity, sentence.size())));
        const size_t needed = piece.size() + (first_of_document ? 1 : 0);
        const bool fits = !samples.empty() && samples.back().size() + needed <= capacity;
        if (fits && first_of_document && cross) samples.back().push_back(separator);
        if (!fits || (first_of_document && !cross)) samples.emplace_back();
        samples.back().insert(samples.back().end(), piece.begin(), piece.end());
        first_of_document = false;
      }
    }
  }
  Plain plain{std::move(samples), {}};
  for (const Ids& sample : plain.samples) {
    plain.predictable.push_back(std::ranges::count_if(sample, [&](int32_t id) { return !tokenizer.is_special(id); }));
  }
  return plain;
}

Plain read_all(const PackedSamples& packed, int64_t capacity) {
  Plain all;
  for (int64_t sample = 0; sample < packed.size(); ++sample) {
    Ids ids(static_cast<size_t>(capacity));
    ids.resize(static_cast<size_t>(packed.read(sample, ids)));
    EXPECT_EQ(packed.tokens(sample), std::ssize(ids));
    all.samples.push_back(ids);
    all.predictable.push_back(packed.predictable(sample));
  }
  return all;
}

class Packing : public testing::Test {
 protected:
  TemporaryFolder folder_;
  std::shared_ptr<const Tokenizer> tokenizer_ = small_tokenizer(folder_.file("tokenizer"));
  std::mt19937 random_{17};
};

TEST_F(Packing, AsThePlainOne) {
  size_t crossing = 0, cut = 0;
  for (int round = 0; round < 60; ++round) {
    std::vector<std::string> texts(1 + random_() % 12);
    for (std::string& text : texts) {
      if (random_() % 4 == 0) continue;  // an empty document
      text = round % 2 == 0 ? lined_text(random_, random_() % 20, 12) : spaced_text(random_, random_() % 80);
      if (random_() % 6 == 0) text += "x<mask>y";
    }
    write_texts(folder_.file("corpus"), texts, *tokenizer_);
    const auto file = TokenFile::open(folder_.file("corpus"));
    for (int variant = 0; variant < 8; ++variant) {
      const bool cross = variant % 2 == 0;
      const auto capacity = static_cast<int64_t>(1 + random_() % 40);
      const Plain expected = pack_plainly(*tokenizer_, texts, static_cast<size_t>(capacity), cross);
      const Plain found = read_all(pack(file, *tokenizer_, {capacity, cross}, 0).training, capacity);
      ASSERT_EQ(found.samples, expected.samples) << capacity << ' ' << cross << testing::PrintToString(texts);
      ASSERT_EQ(found.predictable, expected.predictable);
      for (const Ids& sample : found.samples) {
        ASSERT_LE(std::ssize(sample), capacity);
        crossing += std::ranges::count(sample, tokenizer_->specials().end);
        cut += std::ssize(sample) == capacity;
      }
    }
  }
  EXPECT_GT(crossing, 100u);
  EXPECT_GT(cut, 100u);
}

TEST_F(Packing, LosesNothingAndSplitsNoSentenceThatFits) {
  std::vector<std::string> texts(40);
  for (std::string& text : texts) text = lined_text(random_, 30, 40);
  const auto documents = write_texts(folder_.file("corpus"), texts, *tokenizer_);
  const auto file = TokenFile::open(folder_.file("corpus"));
  for (const int64_t capacity : {1, 7, 30, 126}) {
    for (const bool cross : {true, false}) {
      const Plain found = read_all(pack(file, *tokenizer_, {capacity, cross}, 0).training, capacity);
      Ids all;
      for (const Ids& sample : found.samples) {
        for (const int32_t id : sample) {
          if (id != tokenizer_->specials().end) all.push_back(id);
        }
        if (sample.size() < static_cast<size_t>(capacity) && all.size() > 0 && &sample != &found.samples.back()) {
          EXPECT_TRUE(tokenizer_->bytes_of(sample.back()).ends_with('\n')) << "ends with its sentence";
        }
      }
      Ids expected;
      for (const Ids& document : documents) expected.insert(expected.end(), document.begin(), document.end());
      EXPECT_EQ(all, expected) << capacity << ' ' << cross;
    }
  }
}

// One paragraph per line, as dumps of encyclopaedias are: by lines samples stay half empty, by sentences they fill.
TEST_F(Packing, ParagraphsAsLinesFillSamplesBySentencesOrWithoutThem) {
  std::vector<std::string> texts(30);
  for (std::string& text : texts) {
    for (size_t paragraphs = 1 + random_() % 6; paragraphs > 0; --paragraphs) {
      for (size_t sentences = 4 + random_() % 4; sentences > 0; --sentences)
        text += "A " + std::string(4 + random_() % 12, 'b') + ". ";
      text += "\n";
    }
  }
  const auto documents = write_texts(folder_.file("corpus"), texts, *tokenizer_);
  const auto file = TokenFile::open(folder_.file("corpus"));
  constexpr int64_t capacity = 100;
  const auto packed = [&](SentenceRule rule) {
    return read_all(pack(file, *tokenizer_, {.capacity = capacity, .sentences = rule}, 0).training, capacity);
  };
  Ids joined;  // documents with a separator between them
  for (const Ids& document : documents) {
    if (!joined.empty()) joined.push_back(static_cast<int32_t>(tokenizer_->specials().end));
    joined.insert(joined.end(), document.begin(), document.end());
  }
  const auto fill = [&](const Plain& found) {
    size_t tokens = 0;
    for (const Ids& sample : found.samples) tokens += sample.size();
    return static_cast<double>(tokens) / static_cast<double>(found.samples.size() * capacity);
  };
  const Plain lines = packed(SentenceRule::line), sentences = packed(SentenceRule::punctuation);
  const Plain contiguous = packed(SentenceRule::token);
  // A sentence has 8 to 20 tokens with its white space (mean 13), a paragraph 32 to 140: half a sentence of 100 stays
  // empty, against half a paragraph.
  EXPECT_LT(fill(lines), 0.85);
  EXPECT_GT(fill(sentences), 0.90);
  for (const Ids& sample : sentences.samples) {
    if (&sample == &sentences.samples.back()) continue;
    const std::string text = tokenizer_->decode(sample);
    EXPECT_THAT(text.substr(text.size() - 2), testing::AnyOf(". ", " \n")) << "whole sentences: " << text;
  }
  Ids all;
  for (size_t i = 0; i < contiguous.samples.size(); ++i) {
    const Ids& sample = contiguous.samples[i];
    if (all.size() < joined.size() && joined[all.size()] == tokenizer_->specials().end)
      all.push_back(joined[all.size()]);
    all.insert(all.end(), sample.begin(), sample.end());
    if (i + 1 < contiguous.samples.size()) {
      EXPECT_GE(std::ssize(sample), capacity - 1) << "one place stays empty where only a separator would fit";
    }
  }
  EXPECT_EQ(all, joined);
}

TEST_F(Packing, HoldsOutDocumentsByContent) {
  std::vector<std::string> texts;
  for (int i = 0; i < 2000; ++i) {
    texts.push_back(message("document ", i, "\nhas two lines\n"));
    if (i % 3 == 0) texts.push_back(texts[random_() % texts.size()]);  // a copy
  }
  write_texts(folder_.file("corpus"), texts, *tokenizer_);
  const PackedFile packed = pack(TokenFile::open(folder_.file("corpus")), *tokenizer_, {100, false}, 0.2);
  std::map<std::string, int> training, held;  // a sample is a document here
  for (const Ids& sample : read_all(packed.training, 100).samples) ++training[tokenizer_->decode(sample)];
  for (const Ids& sample : read_all(packed.held_out, 100).samples) ++held[tokenizer_->decode(sample)];
  std::map<std::string, int> expected;
  for (const std::string& text : texts) ++expected[text];
  for (const auto& [text, count] : held) {
    EXPECT_FALSE(training.contains(text)) << "copies fall on one side";
    training[text] += count;
  }
  EXPECT_EQ(training, expected);

  // Samples that cross documents step over those of the other part: the training part is what a file of the training
  // documents alone gives.
  std::vector<std::string> kept;
  for (const std::string& text : texts) {
    if (!held.contains(text)) kept.push_back(text);
  }
  const auto crossing = pack(TokenFile::open(folder_.file("corpus")), *tokenizer_, {100, true}, 0.2).training;
  EXPECT_EQ(read_all(crossing, 100).samples, pack_plainly(*tokenizer_, kept, 100, true).samples);
  // Binomial over 2000 different documents: 400 +- 18; five deviations, and the hash is fixed.
  EXPECT_NEAR(static_cast<double>(held.size()), 400, 90);
}

TEST_F(Packing, NamesAnIdThatTheTokenizerLacks) {
  const int64_t vocabulary = tokenizer_->vocabulary();
  const std::string prefix = folder_.file("corpus");
  Ids long_document(70000, 10);
  long_document[66000] = static_cast<int32_t>(vocabulary);
  write_tokens(prefix, {{5}, {}, long_document}, vocabulary + 1);
  for (const double held_out : {0.0, 0.5}) {
    const auto error = error_of([&] { pack(TokenFile::open(prefix), *tokenizer_, {30, true}, held_out); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ExitCode::bad_input);
    for (const std::string& word :
         {prefix + ".bin", std::string("id 66000 of document 2"), message("is ", vocabulary)}) {
      EXPECT_NE(std::string(error->what()).find(word), std::string::npos) << error->what();
    }
  }
}

}  // namespace
}  // namespace interlock
