// The dataset `tokens` as a model sees it: frames, masks, epochs, held-out part, weights between files, errors.

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <set>

#include "runtime/data/token_corpus.h"
#include "runtime/data/word_ends.h"
#include "tests/data/token_support.h"

namespace interlock {
namespace {

class Tokens : public testing::Test {
 protected:
  std::unique_ptr<Dataset> closed(const std::string& data, const std::string& more = "", uint64_t seed = 1) const {
    return make_dataset(
        "tokens", "[tokenizer]\npath = '" + folder_.file("tokenizer") + "'\n[data]\n" + data + "\n[objective]\n" + more,
        seed);
  }
  std::shared_ptr<Dataset> open(const std::string& data, const std::string& more = "", uint64_t seed = 1) const {
    std::shared_ptr<Dataset> dataset = closed(data, more, seed);
    dataset->open();
    return dataset;
  }
  // [data] with token files of these names.
  std::string paths(const std::vector<std::string>& names, const std::string& key = "paths") const {
    std::string list;
    for (const std::string& name : names) list += quoted(folder_.file(name)) + ", ";
    return key + " = [" + list + "]\n";
  }
  void lines(const std::string& name, size_t documents, size_t count = 30) {
    std::vector<std::string> texts(documents);
    for (std::string& text : texts) text = lined_text(random_, count, 12);
    write_texts(folder_.file(name), texts, *tokenizer_);
  }
  // The tokens a sample was made from; checks its frame.
  Ids tokens_of(const Batch& batch, int64_t index) const {
    const auto inputs = row(batch.inputs, index), targets = row(batch.targets, index);
    const auto specials = tokenizer_->specials();
    const auto length = static_cast<size_t>(batch.lengths.defined() ? batch.lengths.const_data_ptr<int64_t>()[index]
                                                                    : batch.inputs.size(1));
    EXPECT_EQ(inputs[0], specials.begin);
    EXPECT_EQ(inputs[length - 1], specials.end);
    Ids ids;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const bool inner = i > 0 && i + 1 < length;
      EXPECT_TRUE(i < length || inputs[i] == specials.pad);
      EXPECT_TRUE(inner || targets[i] == ignored_target);
      if (inner) ids.push_back(static_cast<int32_t>(targets[i] == ignored_target ? inputs[i] : targets[i]));
    }
    return ids;
  }
  std::map<Ids, int> contents_of(const Dataset& dataset, Split split, const std::vector<int64_t>& list) const {
    std::map<Ids, int> found;
    const Batch batch = dataset.batch(split, list);
    for (int64_t i = 0; i < std::ssize(list); ++i) ++found[tokens_of(batch, i)];
    return found;
  }
  std::map<Ids, int> packed_contents(const std::vector<std::string>& names, int64_t capacity) const {
    std::map<Ids, int> found;
    for (const std::string& name : names) {
      const auto packed = pack(TokenFile::open(folder_.file(name)), *tokenizer_, {capacity, true}, 0).training;
      for (int64_t sample = 0; sample < packed.size(); ++sample) {
        Ids ids(static_cast<size_t>(capacity));
        ids.resize(static_cast<size_t>(packed.read(sample, ids)));
        ++found[ids];
      }
    }
    return found;
  }

  TemporaryFolder folder_;
  std::shared_ptr<const Tokenizer> tokenizer_ = small_tokenizer(folder_.file("tokenizer"));
  std::mt19937 random_{23};
};

TEST_F(Tokens, SaysHowMuchIsPaddingAndWhatWouldFill) {
  std::vector<std::string> texts(20);
  for (std::string& text : texts) text = std::string(17, 'b') + ". A.\n";
  write_texts(folder_.file("a"), texts, *tokenizer_);
  const auto note = [&](const std::string& more) {
    return open(paths({"a"}) + "sequence_length = 32\nheld_out = 0.0\n" + more)->notes().at(0);
  };
  // A line has 22 tokens and is alone in its sample of 30 places between <s> and </s>: 8 of 32 stay empty.
  EXPECT_THAT(note(""), testing::AllOf(testing::HasSubstr("25.0 % of the places"), testing::HasSubstr("punctuation"),
                                       testing::HasSubstr("contiguous")));
  EXPECT_THAT(note("packing = 'doc_sentences'"), testing::Not(testing::HasSubstr("contiguous")));
  // 20 documents of 22 tokens and 19 separators in 16 samples of 30 places, less the separators that end one.
  EXPECT_THAT(note("packing = 'contiguous'"), testing::Not(testing::HasSubstr("data.")));
  const auto error = error_of([&] { note("packing = 'contiguous'\nsentence_end = 'word'"); });
  EXPECT_FALSE(error) << "not asked for: the run's check of unknown keys refuses it";
  EXPECT_THAT(error_of([&] { note("sentence_end = 'word'"); })->what(), testing::HasSubstr("data.sentence_end"));
}

TEST_F(Tokens, AnEpochIsEverySampleOfAllFilesOnce) {
  lines("a", 20);
  lines("b", 3);
  const auto dataset = open(paths({"a", "b"}) + "sequence_length = 32\nheld_out = 0.0");
  const auto expected = packed_contents({"a", "b"}, 30);
  const int64_t epoch = dataset->samples(Split::training);
  EXPECT_EQ(dataset->samples(Split::held_out), 0);
  EXPECT_GT(epoch, 100);
  std::set<std::vector<int64_t>> inputs;
  for (int64_t e = 0; e < 3; ++e) {
    const auto list = numbers(e * epoch, epoch);
    EXPECT_EQ(contents_of(*dataset, Split::training, list), expected) << "epoch " << e;
    inputs.insert(row(dataset->batch(Split::training, list).inputs, 0));
  }
  EXPECT_EQ(inputs.size(), 3u) << "epochs begin with other samples or masks";
  EXPECT_EQ(dataset->classes(), tokenizer_->vocabulary());
  EXPECT_EQ(dataset->sample_length(), 32);
}

TEST_F(Tokens, ASampleDependsOnItsNumberAndTheSeedOnly) {
  lines("a", 20);
  for (const std::string more : {"", "whole_word = true"}) {
    const std::string data = paths({"a"}) + "sequence_length = 32\nheld_out = 0.0";
    const auto dataset = open(data, more), again = open(data, more), other = open(data, more, 2);
    const int64_t epoch = dataset->samples(Split::training);
    const auto list = numbers(epoch - 5, 10);
    const Batch whole = dataset->batch(Split::training, list), same = again->batch(Split::training, list);
    EXPECT_TRUE(whole.inputs.equal(same.inputs) && whole.targets.equal(same.targets));
    EXPECT_FALSE(whole.inputs.equal(other->batch(Split::training, list).inputs));
    int64_t predicted = 0;
    for (int64_t i = 0; i < 10; ++i) {
      const Batch one = dataset->batch(Split::training, {&list[static_cast<size_t>(i)], 1});
      EXPECT_EQ(row(one.inputs, 0), row(whole.inputs, i));
      EXPECT_EQ(row(one.targets, 0), row(whole.targets, i));
      const auto targets = row(one.targets, 0);
      EXPECT_EQ(std::ssize(targets) - std::ranges::count(targets, ignored_target), one.predicted);
      predicted += one.predicted;
    }
    EXPECT_EQ(whole.predicted, predicted);
    EXPECT_EQ(dataset->predicted(Split::training, list), predicted);
  }
}

// 15 % of a million tokens, of those 80/10/10: the tolerances of the recipe (0.1 and 0.5 points) are 2.8 and 4.5
// standard deviations at least, and the key is fixed. Rounding per sample adds less than 0.02 points.
TEST_F(Tokens, RatesOverAMillionTokens) {
  lines("a", 400, 600);
  for (const std::string more : {"", "whole_word = true"}) {
    const auto dataset = open(paths({"a"}) + "sequence_length = 128\nheld_out = 0.0", more);
    double ordinary = 0, predicted = 0, masked = 0, kept = 0;
    std::vector<double> drawn(static_cast<size_t>(tokenizer_->vocabulary())), predicted_as = drawn;
    for (int64_t number = 0; ordinary < 1e6; number += 64) {
      const Batch batch = dataset->batch(Split::training, numbers(number, 64));
      const auto [inputs, targets] =
          std::pair(batch.inputs.const_data_ptr<int64_t>(), batch.targets.const_data_ptr<int64_t>());
      for (int64_t place = 0; place < batch.inputs.numel(); ++place) {
        const int64_t target = targets[place];
        ordinary += target != ignored_target || !tokenizer_->is_special(inputs[place]);
        if (target == ignored_target) continue;
        ASSERT_FALSE(tokenizer_->is_special(target)) << "special tokens are never predicted";
        ++predicted;
        ++predicted_as[static_cast<size_t>(target)];
        masked += inputs[place] == dataset->mask_token();
        kept += inputs[place] == target;
        if (inputs[place] != dataset->mask_token() && inputs[place] != target)
          ++drawn[static_cast<size_t>(inputs[place])];
      }
    }
    EXPECT_NEAR(100 * predicted / ordinary, 15, 0.1) << more;
    EXPECT_NEAR(100 * masked / predicted, 80, 0.5) << more;
    EXPECT_NEAR(100 * kept / predicted, 10, 0.5) << more;  // and 1 in 266 random ones, which meets itself
    const double each = predicted * 0.1 / static_cast<double>(tokenizer_->vocabulary() - 5);
    for (int64_t id = 0; id < tokenizer_->vocabulary(); ++id) {
      const auto at = static_cast<size_t>(id);
      // A token that meets itself counts as kept.
      const double expected = tokenizer_->is_special(id) ? 0 : each * (1 - predicted_as[at] / predicted);
      EXPECT_NEAR(drawn[at], expected, 6 * std::sqrt(expected)) << id;
    }
  }
}

// Files of others list <s> and the like among the added tokens with "special": false.
TEST_F(Tokens, SpecialsByTheirRoleAreNoTargetsWhateverTheFileFlags) {
  nlohmann::ordered_json file;
  {
    tokenizer_->save(folder_.file("saved"));
    std::ifstream in(folder_.file("saved/tokenizer.json"));
    file = nlohmann::ordered_json::parse(in);
  }
  for (auto& token : file["added_tokens"]) token["special"] = false;
  std::filesystem::create_directories(folder_.file("unflagged"));
  put(folder_.file("unflagged/tokenizer.json"), file.dump());
  const auto unflagged = Tokenizer::open(folder_.file("unflagged"));
  std::vector<std::string> texts(20);
  for (std::string& text : texts) {
    for (int i = 0; i < 30; ++i) text += lined_text(random_, 1, 6) + (i % 3 == 0 ? "</s>" : i % 3 == 1 ? "<unk>" : "");
  }
  for (const std::string& text : texts) EXPECT_EQ(ids_of(*unflagged, text), ids_of(*tokenizer_, text));
  const auto documents = write_texts(folder_.file("a"), texts, *tokenizer_);

  int64_t ordinary = 0, packed = 0, listed = 0;
  const auto by_text = tokenizer_->specials();
  for (const Ids& ids : documents) {
    ordinary += std::ranges::count_if(ids, [&](int32_t id) { return id != by_text.end && id != by_text.unknown; });
    listed += std::ssize(ids);
  }
  ASSERT_GT(listed - ordinary, 300);
  const auto samples = pack(TokenFile::open(folder_.file("a")), *unflagged, {30, true}, 0).training;
  for (int64_t sample = 0; sample < samples.size(); ++sample) packed += samples.predictable(sample);
  EXPECT_EQ(packed, ordinary);

  for (const std::string whole : {"false", "true"}) {
    const auto dataset = make_dataset(
        "tokens", "[tokenizer]\npath = '" + folder_.file("unflagged") + "'\n[data]\n" + paths({"a"}) +
                      "sequence_length = 32\nheld_out = 0.0\n[objective]\nmask_rate = 1.0\nwhole_word = " + whole);
    dataset->open();
    for (int64_t number = 0; number < dataset->samples(Split::training); ++number) {
      const Batch batch = dataset->batch(Split::training, {&number, 1});
      const auto targets = row(batch.targets, 0);
      EXPECT_EQ(batch.predicted, std::ssize(targets) - std::ranges::count(targets, ignored_target)) << whole;
      EXPECT_EQ(std::ranges::count(targets, by_text.end) + std::ranges::count(targets, by_text.unknown), 0) << whole;
    }
  }
}

TEST_F(Tokens, WholeWordsAreMaskedWhole) {
  std::vector<std::string> texts(30);
  const std::vector<std::string> words = {" word", " a", " 12345", "!?", " né"};
  for (std::string& text : texts) {
    for (int i = 0; i < 400; ++i) text += i % 8 == 7 ? "\n" : words[random_() % words.size()];
  }
  write_texts(folder_.file("a"), texts, *tokenizer_);
  const auto dataset = open(paths({"a"}) + "sequence_length = 64\nheld_out = 0.0", "whole_word = true");
  int64_t samples_with_a_cut = 0, words_of_several = 0;
  const int64_t samples = dataset->samples(Split::training);
  for (int64_t number = 0; number < samples; ++number) {
    const Batch batch = dataset->batch(Split::training, {&number, 1});
    const Ids ids = tokens_of(batch, 0);
    const auto targets = row(batch.targets, 0);
    const auto ordinary = std::ranges::count_if(ids, [&](int32_t id) { return !tokenizer_->is_special(id); });
    EXPECT_EQ(batch.predicted, std::max<int64_t>(1, std::llround(0.15 * static_cast<double>(ordinary))));
    // Words by the pre-tokens of the decoded text, each stretch between separators for itself.
    int64_t cut = 0;
    size_t place = 0;
    while (place < ids.size()) {
      size_t end = place;
      Ids stretch;
      for (; end < ids.size() && !tokenizer_->is_special(ids[end]); ++end) stretch.push_back(ids[end]);
      size_t bytes = 0, token = place;
      for (const size_t word_end : pretoken_ends(tokenizer_->decode(stretch))) {
        int64_t tokens = 0, predicted = 0;
        for (; bytes < word_end; ++token, ++tokens) {
          bytes += tokenizer_->bytes_of(ids[token]).size();
          predicted += targets[token + 1] != ignored_target;
        }
        cut += predicted > 0 && predicted < tokens;
        words_of_several += predicted > 1 && predicted == tokens;
      }
      place = end + 1;
    }
    EXPECT_LE(cut, 1) << "one word of a sample is cut at most";
    samples_with_a_cut += cut;
  }
  EXPECT_GT(words_of_several, samples);  // about two of each sample's nine predicted tokens' words
  // Only line feeds are words of one token here, an eighth of the words; a word is cut where none of them comes.
  EXPECT_LT(samples_with_a_cut, samples / 8);
}

TEST_F(Tokens, WordsOfASampleThatBeginsAndEndsInsideACharacter) {
  const Ids text = ids_of(*tokenizer_, "日 the 12</s>in é");
  std::vector<int64_t> ids(text.begin() + 1, text.end() - 1);  // without a first and a last byte
  std::vector<std::string> words;
  uint32_t begin = 0;
  for (const uint32_t end : word_ends(*tokenizer_, ids)) {
    words.push_back(tokenizer_->decode(Ids(ids.begin() + begin, ids.begin() + end)));
    begin = end;
  }
  EXPECT_EQ(words, (std::vector<std::string>{"\x97\xa5", " the", " 12", "</s>", "in", " \xc3"}));
  EXPECT_TRUE(word_ends(*tokenizer_, {}).empty());
}

TEST_F(Tokens, HeldOutIsApartAndFixed) {
  lines("a", 200, 6);
  const auto dataset = open(paths({"a"}) + "sequence_length = 32\npacking = 'doc_sentences'\nheld_out = 0.25");
  const int64_t training = dataset->samples(Split::training), held = dataset->samples(Split::held_out);
  auto all = contents_of(*dataset, Split::training, numbers(0, training));
  for (const auto& [ids, count] : contents_of(*dataset, Split::held_out, numbers(0, held))) all[ids] += count;
  std::map<Ids, int> expected;
  const auto packed = pack(TokenFile::open(folder_.file("a")), *tokenizer_, {30, false}, 0).training;
  for (int64_t sample = 0; sample < packed.size(); ++sample) {
    Ids ids(30);
    ids.resize(static_cast<size_t>(packed.read(sample, ids)));
    ++expected[ids];
  }
  EXPECT_EQ(all, expected);
  EXPECT_NEAR(static_cast<double>(held) / static_cast<double>(training + held), 0.25, 0.15);  // 5 deviations of 200
  const Batch once = dataset->batch(Split::held_out, numbers(0, held));
  EXPECT_TRUE(once.inputs.equal(dataset->batch(Split::held_out, numbers(0, held)).inputs));
}

TEST_F(Tokens, OneDocumentIsSplitAtItsEnd) {
  lines("a", 1, 500);
  const auto dataset = open(paths({"a"}) + "sequence_length = 32\nheld_out = 0.1");
  const int64_t training = dataset->samples(Split::training), held = dataset->samples(Split::held_out);
  EXPECT_EQ(held, std::llround(0.1 * static_cast<double>(training + held)));
  const auto packed = pack(TokenFile::open(folder_.file("a")), *tokenizer_, {30, true}, 0).training;
  std::map<Ids, int> expected;
  for (int64_t sample = training; sample < training + held; ++sample) {
    Ids ids(30);
    ids.resize(static_cast<size_t>(packed.read(sample, ids)));
    ++expected[ids];
  }
  EXPECT_EQ(contents_of(*dataset, Split::held_out, numbers(0, held)), expected);
}

TEST_F(Tokens, ValidationFilesAreTheHeldOutPart) {
  lines("a", 20);
  lines("v", 4);
  const auto dataset = open(paths({"a"}) + paths({"v"}, "validation_paths") + "sequence_length = 32\nheld_out = 0.5");
  EXPECT_EQ(contents_of(*dataset, Split::training, numbers(0, dataset->samples(Split::training))),
            packed_contents({"a"}, 30));
  EXPECT_EQ(contents_of(*dataset, Split::held_out, numbers(0, dataset->samples(Split::held_out))),
            packed_contents({"v"}, 30));
}

TEST_F(Tokens, BaselineByDirectCount) {
  lines("a", 60, 10);
  const auto dataset = open(paths({"a"}) + "sequence_length = 32\nheld_out = 0.3");
  std::map<int64_t, double> counts;
  double total = 0;
  for (const auto& [ids, times] :
       contents_of(*dataset, Split::training, numbers(0, dataset->samples(Split::training)))) {
    for (const int32_t id : ids) {
      if (tokenizer_->is_special(id)) continue;
      counts[id] += times;
      total += times;
    }
  }
  double loss = 0, targets = 0;
  for (int64_t number = 0; number < 5; ++number) {
    for (const int64_t target : row(dataset->batch(Split::held_out, {&number, 1}).targets, 0)) {
      if (target == ignored_target) continue;
      loss -= std::log((counts[target] + 1) / (total + static_cast<double>(tokenizer_->vocabulary() - 5)));
      ++targets;
    }
  }
  EXPECT_NEAR(dataset->unigram_baseline(5), loss / targets, 1e-12);  // a few hundred roundings of 1e-16
}

TEST_F(Tokens, ShowsSamplesForPeople) {
  write_texts(folder_.file("a"), {"the in x\n"}, *tokenizer_);
  const auto dataset = open(paths({"a"}) + "sequence_length = 5\nheld_out = 0.0",
                            "mask_rate = 1.0\nmask_share = 1.0\nrandom_share = 0.0");
  std::string text;
  const auto contents = packed_contents({"a"}, 3);
  for (const int32_t id : contents.begin()->first) text += "[mask:" + tokenizer_->shown(id) + "]";
  std::vector<std::string> found;
  for (int64_t number = 0; number < dataset->samples(Split::training); ++number) {
    found.push_back(dataset->describe(dataset->batch(Split::training, {&number, 1}), 0));
  }
  EXPECT_NE(std::ranges::find(found, "<s>" + text + "</s>"), found.end()) << testing::PrintToString(found);
}

}  // namespace
}  // namespace interlock
