// Token files: what the writer writes byte by byte, what the reader reads from files made by hand.

#include "runtime/data/token_file.h"

#include <cstring>
#include <random>

#include "tests/data/token_support.h"

namespace interlock {
namespace {

// A file from its numbers, as the formats lay them out.
class Bytes {
 public:
  template <class T>
  Bytes& add(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  template <class T>
  Bytes& add(const std::vector<T>& values) {
    for (const T value : values) add(value);
    return *this;
  }
  operator std::string() const { return bytes_; }

 private:
  std::string bytes_ = std::string("MMIDIDX\0\0", 9);
};

std::string megatron(uint8_t type, const std::vector<int32_t>& lengths, const std::vector<int64_t>& offsets,
                     const std::vector<int64_t>& documents, uint64_t version = 1) {
  return Bytes()
      .add(version)
      .add(type)
      .add(uint64_t{lengths.size()})
      .add(uint64_t{documents.size()})
      .add(lengths)
      .add(offsets)
      .add(documents);
}

std::string fairseq(uint8_t type, const std::vector<int32_t>& lengths, const std::vector<int64_t>& offsets) {
  return Bytes().add(uint64_t{1}).add(type).add(uint64_t{lengths.size()}).add(lengths).add(offsets);
}

template <class T>
std::string packed(const std::vector<T>& ids) {
  return {reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(T)};
}

std::vector<Ids> documents_of(const TokenFile& file) {
  std::vector<Ids> documents;
  for (int64_t i = 0; i < file.documents(); ++i) {
    documents.emplace_back(static_cast<size_t>(file.document_tokens(i)));
    file.read(i, 0, documents.back());
  }
  return documents;
}

class TokenFiles : public testing::Test {
 protected:
  std::shared_ptr<const TokenFile> open(const std::string& index, const std::string& ids) {
    put(prefix() + ".idx", index);
    put(prefix() + ".bin", ids);
    return TokenFile::open(prefix());
  }
  void refuses(const std::string& index, const std::string& ids, const std::vector<std::string>& words) {
    const auto error = error_of([&] { open(index, ids)->largest_id(); });
    ASSERT_TRUE(error) << words.front();
    EXPECT_EQ(error->code(), ExitCode::bad_input);
    for (const std::string& word : words) {
      EXPECT_NE(std::string(error->what()).find(word), std::string::npos) << word << " in: " << error->what();
    }
    EXPECT_NE(std::string(error->what()).find(prefix()), std::string::npos) << error->what();
  }
  std::string prefix() const { return folder_.file("corpus"); }
  TemporaryFolder folder_;
};

TEST_F(TokenFiles, TheWriterWritesMegatronsLayout) {
  write_tokens(prefix(), {{5, 6, 7}, {}, {65498}}, 65499);
  EXPECT_EQ(get(prefix() + ".bin"), packed<uint16_t>({5, 6, 7, 65498}));
  EXPECT_EQ(get(prefix() + ".idx"), megatron(8, {3, 0, 1}, {0, 6, 6}, {0, 1, 2, 3}));
  write_tokens(prefix(), {{5, 65499}}, 65500);
  EXPECT_EQ(get(prefix() + ".bin"), packed<int32_t>({5, 65499}));
  EXPECT_EQ(get(prefix() + ".idx"), megatron(4, {2}, {0}, {0, 1}));
  write_tokens(prefix(), {}, 300);
  EXPECT_EQ(get(prefix() + ".bin"), "");
  EXPECT_EQ(get(prefix() + ".idx"), megatron(8, {}, {}, {0}));
  EXPECT_EQ(TokenFile::open(prefix())->documents(), 0);
  EXPECT_EQ(folder_.entries(), 2u) << "no temporary file is left";
}

TEST_F(TokenFiles, WhatIsWrittenIsRead) {
  std::mt19937 random(5);
  for (const int64_t vocabulary : {300, 65499, 65500, 1 << 30}) {
    std::vector<Ids> documents;
    for (int i = 0; i < 50; ++i) {
      documents.emplace_back(random() % 7 == 0 ? 0 : random() % 20000);
      for (int32_t& id : documents.back()) id = static_cast<int32_t>(random() % static_cast<uint32_t>(vocabulary));
    }
    TokenFileWriter writer(prefix(), vocabulary, 1000);  // longer documents become several sequences
    for (const Ids& ids : documents) {
      const size_t half = ids.size() / 2;
      writer.add_part(std::span(ids).first(half));
      writer.add_part(std::span(ids).subspan(half));
      writer.end_document();
    }
    writer.commit();
    const auto file = TokenFile::open(prefix());
    EXPECT_EQ(documents_of(*file), documents);
    int64_t tokens = 0, largest = -1;
    for (const Ids& ids : documents) {
      tokens += std::ssize(ids);
      for (const int32_t id : ids) largest = std::max<int64_t>(largest, id);
    }
    EXPECT_EQ(file->tokens(), tokens);
    EXPECT_EQ(file->largest_id(), largest);
    Ids part(1500);
    for (int i = 0; i < 50; ++i) {
      if (documents[static_cast<size_t>(i)].size() < 2500) continue;
      file->read(i, 999, part);
      const auto begin = documents[static_cast<size_t>(i)].begin() + 999;
      EXPECT_EQ(part, Ids(begin, begin + 1500));
    }
  }
}

TEST_F(TokenFiles, NothingIsSeenBeforeCommit) {
  write_tokens(prefix(), {{1, 2}}, 300);
  {
    TokenFileWriter writer(prefix(), 300);
    writer.add(Ids{7, 8, 9});
    EXPECT_EQ(documents_of(*TokenFile::open(prefix())), (std::vector<Ids>{{1, 2}}));
  }
  EXPECT_EQ(documents_of(*TokenFile::open(prefix())), (std::vector<Ids>{{1, 2}}));
  EXPECT_EQ(folder_.entries(), 2u);
  const auto error = error_of([&] { TokenFileWriter(folder_.file("no/such/folder"), 300); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ExitCode::cannot_write);
}

TEST_F(TokenFiles, EveryTypeAndBothLayouts) {
  const std::vector<Ids> expected = {{1, 2, 3}, {100}};
  const std::vector<int32_t> lengths = {3, 1};
  const auto check = [&](uint8_t type, int64_t width, const std::string& ids, bool only_fairseq) {
    const std::vector<int64_t> offsets = {0, 3 * width};
    EXPECT_EQ(documents_of(*open(fairseq(type, lengths, offsets), ids)), expected) << int{type};
    if (only_fairseq) {
      refuses(megatron(type, lengths, offsets, {0, 1, 2}), ids, {".idx", "elements of type"});
    } else {
      const std::string index = megatron(type, lengths, offsets, {0, 1, 2});
      EXPECT_EQ(documents_of(*open(index, ids)), expected) << int{type};
      EXPECT_EQ(documents_of(*open(index + "\x00\x01", ids)), expected) << "with modes, as multimodal data has";
    }
  };
  check(1, 1, packed<uint8_t>({1, 2, 3, 100}), false);
  check(2, 1, packed<int8_t>({1, 2, 3, 100}), false);
  check(3, 2, packed<int16_t>({1, 2, 3, 100}), false);
  check(4, 4, packed<int32_t>({1, 2, 3, 100}), false);
  check(5, 8, packed<int64_t>({1, 2, 3, 100}), false);
  check(8, 2, packed<uint16_t>({1, 2, 3, 100}), false);
  check(9, 4, packed<uint32_t>({1, 2, 3, 100}), true);
  check(10, 8, packed<uint64_t>({1, 2, 3, 100}), true);
}

TEST_F(TokenFiles, SequencesInAnyPlaceMakeADocument) {
  // Document 0 is sequences 0 and 1, written behind sequence 3 and before it; document 1 is empty; 2 and 3 overlap.
  const std::string ids = packed<uint16_t>({10, 11, 12, 13, 14, 15, 16});
  const auto file = open(megatron(8, {2, 3, 2, 4}, {10, 0, 6, 4}, {0, 2, 2, 3, 4}), ids);
  EXPECT_EQ(documents_of(*file), (std::vector<Ids>{{15, 16, 10, 11, 12}, {}, {13, 14}, {12, 13, 14, 15}}));
  EXPECT_EQ(file->tokens(), 11);
  Ids middle(3);
  file->read(0, 1, middle);
  EXPECT_EQ(middle, (Ids{16, 10, 11}));
}

TEST_F(TokenFiles, RefusesBrokenFiles) {
  const std::string ids = packed<uint16_t>({1, 2, 3, 4});
  const std::string good = megatron(8, {3, 1}, {0, 6}, {0, 1, 2});
  EXPECT_EQ(open(good, ids)->tokens(), 4);
  const auto changed = [&](size_t at, char byte) {
    std::string index = good;
    index[at] = byte;
    return index;
  };
  refuses("", ids, {".idx", "does not begin with MMIDIDX"});
  refuses(changed(0, 'X'), ids, {".idx", "does not begin with MMIDIDX"});
  refuses(changed(8, 1), ids, {"does not begin with MMIDIDX"});
  refuses("TNTIDX" + good.substr(6), ids, {"fairseq's old index"});
  refuses(megatron(8, {3, 1}, {0, 6}, {0, 1, 2}, 2), ids, {"version 2"});
  for (const uint8_t type : {0, 6, 7, 9, 11, 255})
    refuses(changed(17, static_cast<char>(type)), ids, {"elements of type"});
  for (size_t size = 0; size < good.size(); ++size) refuses(good.substr(0, size), ids, {".idx"});
  refuses(good + '\0', ids, {"do not fit its header"});
  refuses(good, ids.substr(0, 7), {".bin", "no multiple of the 2 bytes"});
  refuses(good, ids.substr(0, 6), {"sequence 1", "beyond the 6 bytes"});
  refuses(megatron(8, {3, 2}, {0, 6}, {0, 1, 2}), ids, {"sequence 1", "beyond the 8 bytes"});
  refuses(megatron(8, {-1, 1}, {0, 6}, {0, 1, 2}), ids, {"sequence 0", "length of -1"});
  refuses(megatron(8, {3, 1}, {0, -2}, {0, 1, 2}), ids, {"sequence 1", "byte -2"});
  refuses(megatron(8, {3, 1}, {0, INT64_MAX - 1}, {0, 1, 2}), ids, {"sequence 1", "beyond"});
  refuses(megatron(8, {3, 1}, {0, 6}, {0, 1, 1}), ids, {"ends at sequence 1 of 2"});
  refuses(megatron(8, {3, 1}, {0, 6}, {0, 2, 1}), ids, {"entry 2", "is 1 after 2"});
  refuses(megatron(8, {3, 1}, {0, 6}, {0, 3, 2}), ids, {"entry 1", "is 3"});
  refuses(megatron(8, {3, 1}, {0, 6}, {0, -1, 2}), ids, {"entry 1", "is -1"});
  refuses(megatron(8, {3, 1}, {0, 6}, {1, 2}), ids, {"begins with 1"});
  refuses(megatron(8, {3, 1}, {0, 6}, {}), ids, {"empty document index"});
  // Counts whose sizes leave 64 bits, or come back to the size of the file by wrapping: 12 x 2^62 = 3 x 2^64.
  for (const uint64_t count : {uint64_t{1} << 62, ~uint64_t{0}, (uint64_t{1} << 62) + 2, uint64_t{1} << 61}) {
    std::string index = good;
    std::memcpy(index.data() + 18, &count, 8);
    refuses(index, ids, {"do not fit its header"});
    index = good;
    std::memcpy(index.data() + 26, &count, 8);
    refuses(index, ids, {"do not fit its header"});
  }
}

TEST_F(TokenFiles, NamesIdsThatNoVocabularyHas) {
  const std::vector<int64_t> offsets = {0, 12};
  refuses(megatron(4, {3, 2}, offsets, {0, 1, 2}), packed<int32_t>({1, 2, 3, 4, -5}),
          {".bin", "id 1 of document 1", "-5"});
  refuses(fairseq(9, {3, 2}, offsets), packed<uint32_t>({1, 2, 3, 4000000000, 5}),
          {"id 0 of document 1", "4000000000"});
  refuses(megatron(5, {3}, {0}, {0, 1}), packed<int64_t>({1, 2, int64_t{1} << 40}), {"id 2 of document 0"});
}

// Taken, and told: mostly the index is that of another file.
TEST_F(TokenFiles, MoreIdsThanTheIndexLeadsToAreWarnedOf) {
  testing::internal::CaptureStderr();
  const auto file = open(megatron(8, {2}, {0}, {0, 1}), packed<uint16_t>({5, 6, 7}));
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("corpus.bin has 6 bytes"), std::string::npos) << said;
  EXPECT_NE(said.find("first 4 only"), std::string::npos) << said;
  EXPECT_EQ(documents_of(*file), (std::vector<Ids>{{5, 6}}));
}

TEST_F(TokenFiles, SaysWhatIsMissing) {
  const auto error = error_of([&] { TokenFile::open(prefix()); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ExitCode::bad_input);
  EXPECT_NE(std::string(error->what()).find(prefix() + ".idx"), std::string::npos);
  write_tokens(prefix(), {{1}}, 300);
  const auto ending = error_of([&] { TokenFile::open(prefix() + ".idx"); });
  ASSERT_TRUE(ending);
  EXPECT_NE(std::string(ending->what()).find("\"" + prefix() + "\""), std::string::npos) << ending->what();
}

}  // namespace
}  // namespace interlock
