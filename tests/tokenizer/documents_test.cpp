// Documents out of files: what one is, and that blocks of any size hold the same.
#include "runtime/data/tokenizer/documents.h"

#include <gmock/gmock.h>

#include <atomic>

#include "runtime/data/tokenizer/in_order.h"
#include "runtime/data/tokenizer/pretokens.h"
#include "tests/tokenizer/support.h"

namespace interlock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Documents : public WithFolder {
 protected:
  std::vector<std::string> read(const std::vector<std::string>& files, const std::string& kind,
                                size_t block_bytes = 1 << 20,
                                Utf8Stream::OnInvalid on_invalid = Utf8Stream::OnInvalid::error) {
    DocumentReader::Options options;
    options.on_invalid = on_invalid;
    options.kind = DocumentKind::parse(kind);
    options.block_bytes = block_bytes;
    DocumentReader reader(files, options, {is_safe_cut, 4});
    std::vector<std::string> documents;
    int64_t bytes = 0, size = 0;
    blocks_ = 0;
    while (const auto block = reader.next()) {
      ++blocks_;
      bytes += block->input_bytes;
      EXPECT_FALSE(block->parts.empty());
      for (const TextBlock::Part& part : block->parts) {
        if (part.begins) documents.emplace_back();
        documents.back() += block->text.substr(part.begin, part.end - part.begin);
      }
    }
    for (const std::string& file : files) size += static_cast<int64_t>(std::filesystem::file_size(file));
    EXPECT_EQ(reader.bytes(), size);
    replaced_ = reader.replaced();
    EXPECT_LE(bytes, size);  // what comes after the last block is not told
    return documents;
  }
  int64_t blocks_ = 0, replaced_ = 0;
};

TEST_F(Documents, AFileIsOneAsItStands) {
  const std::string one = write("one", "a\r\n\n b\n"), two = write("two", "é"), empty = write("empty", "");
  EXPECT_THAT(read({one, empty, two}, "file"), ElementsAre("a\r\n\n b\n", "é"));
}

TEST_F(Documents, LinesLoseTheirEnds) {
  const std::string file = write("file", "one\n two \r\n\n\r\nthree\rx\n\nlast"), next = write("next", "\nother\n");
  EXPECT_THAT(read({file, next}, "line"), ElementsAre("one", " two ", "three\rx", "last", "other"));
}

TEST_F(Documents, BlankLinesDivide) {
  const std::string file = write("file", "\n \n = Title =\n one\n\ttwo  \n\n \t\r\n\n  three\r\nfour\r\n\r\nfive"),
                    next = write("next", "six\n");
  EXPECT_THAT(read({file, next}, "blank_line"),
              ElementsAre(" = Title =\n one\n\ttwo  ", "  three\r\nfour", "five", "six"));
}

TEST_F(Documents, JsonLinesGiveAField) {
  const std::string file = write(
      "file", "{\"text\": \"one\\ntwo\", \"id\": 1}\n\n{\"text\": \"\"}\r\n{\"text\": \"\\u00e9\\ud83d\\ude42\"}");
  EXPECT_THAT(read({file}, "jsonl:text"), ElementsAre("one\ntwo", "é🙂"));
}

TEST_F(Documents, JsonThatIsNoneNamesItsLine) {
  const auto refusal = [&](const std::string& line) {
    const std::string file = write("some.jsonl", "{\"text\": \"good\"}\n" + line + "\n");
    const std::string words = reason([&] { read({file}, "jsonl:text"); });
    EXPECT_THAT(words, testing::StartsWith(file + ":2: "));
    return words;
  };
  EXPECT_THAT(refusal("{\"text\": "), HasSubstr("not JSON"));
  EXPECT_THAT(refusal("[1]"), HasSubstr("a JSON object is expected"));
  EXPECT_THAT(refusal("{\"body\": \"x\"}"), HasSubstr("no field \"text\""));
  EXPECT_THAT(refusal("{\"text\": 7}"), HasSubstr("field \"text\" is number, not a text"));
  EXPECT_THAT(refusal("{\"text\": \"\\ud800\"}"), AllOf(HasSubstr("not JSON"), HasSubstr("--invalid-utf8 replace")));
}

// Half a UTF-16 pair is no character however it is written: as an escape too it is replaced, and counted.
TEST_F(Documents, LoneSurrogatesAreReplacedLikeBytesThatAreNotUtf8) {
  const std::string file = write("some.jsonl",
                                 "{\"text\": \"a\\ud800b\\udc00\\ud83d\\ude42\", \"x\": NaN}\n"
                                 "{\"text\": \"\\\\ud800 \\ud83d\"}\n");
  EXPECT_THAT(read({file}, "jsonl:text", 1 << 20, Utf8Stream::OnInvalid::replace),
              ElementsAre("a\uFFFDb\uFFFD🙂", "\\ud800 \uFFFD"));
  EXPECT_EQ(replaced_, 3);
}

TEST_F(Documents, NumbersThatJsonLacksAreNoReasonToStop) {
  const std::string file = write("some.jsonl", "{\"score\": NaN, \"text\": \"NaN\", \"x\": [-Infinity, Infinity]}\n");
  EXPECT_THAT(read({file}, "jsonl:text"), ElementsAre("NaN"));
}

TEST_F(Documents, KindsAreNamed) {
  EXPECT_THAT(reason([] { DocumentKind::parse("paragraph"); }, ExitCode::usage),
              HasSubstr("--document paragraph is none of"));
  EXPECT_THAT(reason([] { DocumentKind::parse("jsonl:"); }, ExitCode::usage), HasSubstr("jsonl:FIELD"));
}

TEST_F(Documents, BlocksOfAnySizeHoldTheSame) {
  std::mt19937 draw(9);
  std::string text;
  while (text.size() < 60'000)
    text += random_text(draw, 30) + (draw() % 3 == 0 ? "\n\n" : draw() % 2 == 0 ? "\n" : "\r\n");
  std::string lines;
  for (int line = 0; line < 50; ++line)
    lines += nlohmann::json{{"t", random_text(draw, 1 + draw() % 300)}}.dump() + "\n";
  const std::string file = write("text", text), jsonl = write("lines", lines);
  for (const char* kind : {"file", "line", "blank_line", "jsonl:t"}) {
    const std::string& input = kind[0] == 'j' ? jsonl : file;
    const std::vector<std::string> whole = read({input, input}, kind);
    EXPECT_EQ(blocks_, 1) << kind;
    EXPECT_GE(whole.size(), 2U) << kind;
    for (const size_t size : {size_t{1}, size_t{100}, size_t{5000}}) {
      EXPECT_EQ(read({input, input}, kind, size), whole) << kind << " by " << size;
      EXPECT_GT(blocks_, 5) << kind;
    }
  }
}

TEST_F(Documents, ATextWithoutAPlaceToCutIsRefusedInTheEnd) {
  const std::string file = write("letters", std::string(BlockBuilder::longest_uncut + (2 << 20), 'a'));
  EXPECT_THAT(reason([&] { read({file}, "file"); }),
              testing::AllOf(HasSubstr("letters: more than 64 MiB without a place")));
}

TEST_F(Documents, MissingAndBrokenFilesAreNamed) {
  EXPECT_THAT(reason([&] { read({path("nowhere")}, "line"); }), HasSubstr("cannot read " + path("nowhere")));
  const std::string file = write("broken", "ab\ncd\xFF\n");
  EXPECT_THAT(reason([&] { read({file}, "line"); }), HasSubstr(file + ": not UTF-8 at byte 5 (0xff)"));
}

// ---- the production line

TEST(InOrder, KeepsTheOrderAndBoundsWhatIsUnderWay) {
  std::atomic<int> made = 0, taken = 0, furthest = 0;
  std::vector<int> results;
  InOrder<int, int> line;
  line.produce = [&]() -> std::optional<int> {
    if (made == 500) return std::nullopt;
    furthest = std::max(furthest.load(), made - taken);
    return made++;
  };
  line.work = [](int item, int) {
    if (item % 7 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
    return 2 * item;
  };
  line.consume = [&](int result) {
    results.push_back(result);
    ++taken;
  };
  line.run(3);
  ASSERT_EQ(results.size(), 500U);
  for (int item = 0; item < 500; ++item) EXPECT_EQ(results[static_cast<size_t>(item)], 2 * item);
  EXPECT_LE(furthest, 2 * 3 + 2 + 2);  // the places, one that waits for a place, one that is being taken
}

TEST(InOrder, TheEarliestFailureIsThrown) {
  for (int round = 0; round < 50; ++round) {
    int made = 0;
    std::vector<int> results;
    InOrder<int, int> line;
    line.produce = [&]() -> std::optional<int> {
      if (made == 20) throw std::runtime_error("at 20");
      return made++;
    };
    line.work = [&](int item, int) {
      if (item == 11) throw std::runtime_error("at 11");
      if (item == 9) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (item == 10) throw std::runtime_error("at 10");
      return item;
    };
    line.consume = [&](int result) { results.push_back(result); };
    try {
      line.run(4);
      ADD_FAILURE();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "at 10");
    }
    EXPECT_EQ(results.size(), 10U);
  }
}

TEST(InOrder, AFailureAtTheEndsStopsAll) {
  for (const bool at_once : {true, false}) {
    int made = 0;
    InOrder<int, int> line;
    line.produce = [&]() -> std::optional<int> {
      if (at_once) throw std::runtime_error("no input");
      return made++;  // without end
    };
    line.work = [](int item, int) { return item; };
    line.consume = [&](int result) {
      if (result == 30) throw std::runtime_error("no room");
    };
    EXPECT_THROW(line.run(2), std::runtime_error);
  }
}

}  // namespace
}  // namespace interlock
