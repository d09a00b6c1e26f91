// Tables of texts: what a row holds, against rows written down here, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "runtime/core/error.h"
#include "runtime/data/tables/labels.h"
#include "runtime/data/tables/table.h"

namespace interlock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Rows = std::vector<std::vector<std::string>>;

class Tables : public testing::Test {
 protected:
  Tables() : folder_(testing::TempDir() + "/interlock-tables-" + std::to_string(getpid())) {
    std::filesystem::create_directories(folder_);
  }
  ~Tables() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& name, const std::string& content) const {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  Rows rows(const std::string& name, const std::string& content, const TableRequest& request) const {
    Rows found;
    for (TableRow& row : read_table(file(name, content), request).rows) found.push_back(std::move(row.fields));
    return found;
  }
  // The message, which names the file first.
  std::string refusal(const std::string& name, const std::string& content, const TableRequest& request) const {
    const std::string path = file(name, content);
    try {
      read_table(path, request);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      const std::string what = error.what();
      EXPECT_TRUE(what.starts_with(path + ": ")) << what;
      return what.substr(std::min(what.size(), path.size() + 2));
    }
    return "accepted";
  }

  std::string folder_;
};

const TableRequest named{{"text", "label"}, {}};

TEST_F(Tables, ColumnsByNameInAnyOrder) {
  EXPECT_EQ(rows("a.tsv", "label\tid\ttext\n1\t7\ta b\n0\t8\t\"quoted\" 'as it is'\n", named),
            (Rows{{"a b", "1"}, {"\"quoted\" 'as it is'", "0"}}));
  EXPECT_EQ(rows("a.txt", "text\tlabel\nx\ty", named), (Rows{{"x", "y"}}));
}

TEST_F(Tables, EndingsInCapitals) {
  EXPECT_EQ(rows("a.TSV", "text\tlabel\nx\ty\n", named), (Rows{{"x", "y"}}));
  EXPECT_EQ(rows("a.Csv", "text,label\nx,y\n", named), (Rows{{"x", "y"}}));
}

TEST_F(Tables, ColumnsByNumberHaveNoHeaderUnlessItIsSaid) {
  const TableRequest numbered{{"3", "", "1"}, {}};
  EXPECT_EQ(rows("a.tsv", "gj04\t1\t\tOur friends\n", numbered), (Rows{{"Our friends", "", "1"}}));
  EXPECT_EQ(rows("a.tsv", "Quality\tA\tB\n1\tx\ty\n", {{"1", "0"}, true}), (Rows{{"x", "1"}}));
  EXPECT_THAT(refusal("a.tsv", "a\tb\n", {{"2"}, {}}), HasSubstr("line 1: there is no column 2; there are 2"));
}

TEST_F(Tables, AColumnThatIsAskedForTwice) {
  const TableRequest twice{{"text", "text"}, {}};
  for (const auto& [name, content] : {std::pair("a.tsv", "text\tlabel\nsome\tx\n"), {"a.csv", "text,label\nsome,x\n"}})
    EXPECT_EQ(rows(name, content, twice), (Rows{{"some", "some"}})) << name;
}

TEST_F(Tables, MarksLineEndsAndEmptyLines) {
  const std::string path = file("a.tsv", "\xEF\xBB\xBFtext\tlabel\r\na\t1\r\n\r\n\r\nb\t0\r\n");
  const TextTable table = read_table(path, named);
  EXPECT_EQ(table.empty_lines, 2);
  ASSERT_EQ(table.rows.size(), 2U);
  EXPECT_THAT(table.rows[0].fields, ElementsAre("a", "1"));
  EXPECT_THAT(table.rows[1].fields, ElementsAre("b", "0"));
  EXPECT_EQ(table.rows[1].line, 5);
  EXPECT_EQ(rows("a.csv", "\xEF\xBB\xBFtext,label\r\n\r\n\"a\r\nb\",1\r\nc,2", named),
            (Rows{{"a\r\nb", "1"}, {"c", "2"}}));
}

TEST_F(Tables, QuotesHoldCommasTabsLinesAndQuotes) {
  EXPECT_EQ(
      rows(
          "a.csv",
          "text,label\n\"a, b\",x\n\"say \"\"hi\"\"\",\"y\"\n\"two\nlines\tand a tab\",\"\"\n,z\nin \"the\" middle,w\n",
          named),
      (Rows{{"a, b", "x"}, {"say \"hi\"", "y"}, {"two\nlines\tand a tab", ""}, {"", "z"}, {"in \"the\" middle", "w"}}));
  const TextTable table = read_table(folder_ + "/a.csv", named);
  EXPECT_EQ(table.rows[3].line, 6);  // the record before began in line 4 and went on in 5
  EXPECT_THAT(refusal("a.csv", "text,label\na,b\n\"c,d\n", named), HasSubstr("line 3: a quote begins a field here"));
  EXPECT_THAT(refusal("a.csv", "text,label\n\"c\"d,e\n", named), HasSubstr("line 2: text follows a closing quote"));
}

TEST_F(Tables, LinesOfJson) {
  EXPECT_EQ(
      rows("a.jsonl",
           "{\"label\": 1, \"text\": \"a\\tb\\n\\u00e9\"}\n\n{\"text\": \"c\", \"label\": true, \"x\": null}\n", named),
      (Rows{{"a\tb\n\xC3\xA9", "1"}, {"c", "true"}}));
  EXPECT_THAT(refusal("a.jsonl", "{\"text\": \"a\"}\n", named),
              HasSubstr("line 1: there is no key \"label\"; there are: text"));
  EXPECT_THAT(refusal("a.jsonl", "{\"text\": \"a\", \"label\": [1]}\n", named),
              HasSubstr("line 1: \"label\" is a list"));
  EXPECT_THAT(refusal("a.jsonl", "{\"text\": \"a\", \"label\": 1}\n{\"text\"\n", named), HasSubstr("line 2: not JSON"));
  EXPECT_THAT(refusal("a.jsonl", "{\"text\": \"a\", \"label\": 1, \"text\": \"b\"}\n", named),
              HasSubstr("line 1: \"text\" is there twice"));
  EXPECT_THAT(refusal("a.jsonl", "[1]\n", named), HasSubstr("line 1: is no JSON object"));
}

// As Python's json.dumps writes them. A field that nobody reads is no reason to stop.
TEST_F(Tables, NumbersThatJsonLacksInOtherFields) {
  EXPECT_EQ(rows("a.jsonl",
                 "{\"text\": \"a\", \"label\": 1, \"x\": NaN, \"y\": [-Infinity, Infinity]}\n"
                 "{\"text\": \"NaN \\\" NaN\", \"label\": 0, \"x\": NaN}\n",
                 named),
            (Rows{{"a", "1"}, {"NaN \" NaN", "0"}}));
  EXPECT_THAT(refusal("a.jsonl", "{\"text\": \"a\", \"label\": NaN}\n", named), HasSubstr("NaN"));
}

TEST_F(Tables, CompressedOnesAreCalledThat) {
  EXPECT_THAT(refusal("a.tsv",
                      "\x1f\x8b\x08"
                      "abc",
                      named),
              HasSubstr("is compressed (gzip); unpack it first: gunzip -k"));
}

TEST_F(Tables, WhatIsRefused) {
  EXPECT_THAT(refusal("a.tsv", "sentense\tlabel\na\tb\n", {{"sentence", "label"}, {}}),
              testing::AllOf(HasSubstr("unknown column \"sentence\"; did you mean \"sentense\"?"), HasSubstr("label")));
  EXPECT_THAT(refusal("a.tsv", "text\tlabel\na\tb\tc\n", named),
              HasSubstr("line 2 has 3 fields where the first has 2"));
  EXPECT_THAT(refusal("a.tsv", "text\tlabel\na\n", named), HasSubstr("line 2 has 1 fields"));
  EXPECT_THAT(refusal("a.tsv", "text\tlabel\nb\xE9\tb\n", named),
              testing::AllOf(HasSubstr("line 2: text is not UTF-8"), HasSubstr("iconv")));
  EXPECT_THAT(refusal("a.tsv", "text\tlabel\n\n", named), HasSubstr("has no rows"));
  EXPECT_THAT(refusal("a.tsv", "", named), HasSubstr("has no rows"));
  EXPECT_THAT(refusal("a.parquet", "x", named), HasSubstr("\".parquet\" says of no table"));
  EXPECT_THROW(read_table(folder_ + "/absent.tsv", named), Error);
  EXPECT_THAT(refusal("a.tsv", "text\tlabel\ttext\na\tb\tc\n", named),
              HasSubstr("line 1: the column \"text\" stands twice"));
  EXPECT_THAT(rows("a.tsv", "text\tlabel\ttext\na\tb\tc\n", {{"2", "label"}, {}}), ElementsAre(ElementsAre("c", "b")));
  EXPECT_THAT(rows("a.tsv", "text\tlabel\tother\tother\na\tb\tc\td\n", named), ElementsAre(ElementsAre("a", "b")));
  EXPECT_THAT(refusal("a.tsv", "text\tlabel\ra\tb\r", named), HasSubstr("carriage returns alone"));
  const std::string folder = folder_ + "/folder.tsv";
  std::filesystem::create_directories(folder);
  try {
    read_table(folder, named);
    FAIL() << "a folder was read";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("folder.tsv: is a folder"));
  }
}

TEST_F(Tables, WhetherThereIsAColumn) {
  const std::string tsv = file("a.tsv", "text\tlabel\na\tb\n"), json = file("a.jsonl", "{\"text\": \"a\"}\n");
  EXPECT_TRUE(has_column(tsv, {{"text"}, {}}, "label"));
  EXPECT_FALSE(has_column(tsv, {{"text"}, {}}, "other"));
  EXPECT_TRUE(has_column(tsv, {{"0"}, {}}, "1"));
  EXPECT_FALSE(has_column(tsv, {{"0"}, {}}, "2"));
  EXPECT_TRUE(has_column(json, {{"text"}, {}}, "text"));
  EXPECT_FALSE(has_column(json, {{"text"}, {}}, "label"));
}

std::vector<std::string> classes(const std::vector<std::string>& labels) { return LabelSet::of(labels).names(); }

TEST(Labels, WordsByFirstAppearanceIntegersByValue) {
  EXPECT_THAT(classes({"yes", "no", "yes", "maybe"}), ElementsAre("yes", "no", "maybe"));
  EXPECT_THAT(classes({"1", "0", "1"}), ElementsAre("0", "1"));
  EXPECT_THAT(classes({"10", "9", "-1"}), ElementsAre("-1", "9", "10"));
  EXPECT_THAT(classes({"1", "01"}), ElementsAre("1", "01"));  // words: they would be one number
  EXPECT_EQ(LabelSet::of(std::vector<std::string>{"b", "a"}).find("a"), 1);
  EXPECT_EQ(LabelSet::of(std::vector<std::string>{"b", "a"}).find("c"), std::nullopt);
}

TEST(Labels, WhatIsNoSetOfClasses) {
  EXPECT_THROW(classes({"x", "x"}), Error);
  std::vector<std::string> many;
  for (int i = 0; i < 1001; ++i) many.push_back("w" + std::to_string(i));
  EXPECT_THROW(classes(many), Error);
  many.pop_back();
  EXPECT_EQ(classes(many).size(), 1000U);
}

TEST(Labels, Scores) {
  EXPECT_EQ(score_of("2.5"), 2.5);
  EXPECT_EQ(score_of("-1e-3"), -1e-3);
  for (const char* none : {"", "x", "1,5", "1 ", "nan", "inf", "1e39"}) EXPECT_EQ(score_of(none), std::nullopt) << none;
  EXPECT_EQ(trimmed_label(" a b\t\r"), "a b");
  EXPECT_EQ(trimmed_label(" "), "");
}

}  // namespace
}  // namespace interlock
