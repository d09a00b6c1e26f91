// The manifest's text: what it holds comes back, and what a hostile or damaged one holds is refused with a reason.

#include "runtime/storage/checkpoint_manifest.h"

#include <gmock/gmock.h>

#include "tests/storage/checkpoint_support.h"

namespace interlock {
namespace {

using testing::HasSubstr;

const std::string hash(64, 'a');

CheckpointManifest example() {
  return {12,
          "a = \"\\u00e4\"\nb = 'x'\n",
          {{"rule", "sum"}, {"", "empty key"}, {"text", std::string("a\0b\n\x7f\"", 6)}},
          {{"a.safetensors", 0, hash}, {"weights-00000.safetensors", ~uint64_t{0}, hash}}};
}

TEST(Manifest, ComesBackAsItWas) {
  const CheckpointManifest before = example(), after = parse_manifest(print_manifest(before), "m");
  EXPECT_EQ(after.step, before.step);
  EXPECT_EQ(after.config, before.config);
  EXPECT_EQ(after.state, before.state);
  ASSERT_EQ(after.files.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(after.files[i].name, before.files[i].name);
    EXPECT_EQ(after.files[i].bytes, before.files[i].bytes);
    EXPECT_EQ(after.files[i].sha256, before.files[i].sha256);
  }
  const CheckpointManifest empty = parse_manifest(print_manifest({}), "m");
  EXPECT_EQ(empty.step, 0);
  EXPECT_TRUE(empty.files.empty() && empty.state.empty() && empty.config.empty());
}

TEST(Manifest, EveryFlippedBitIsFound) {
  const std::string good = print_manifest(example());
  for (size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      const auto error = error_of([&] { parse_manifest(bad, "m"); });
      ASSERT_TRUE(error) << "byte " << at << ", bit " << bit;
      EXPECT_EQ(error->code(), ExitCode::bad_input);
    }
  }
}

TEST(Manifest, EveryTruncationAndTailIsFound) {
  const std::string good = print_manifest(example());
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_TRUE(error_of([&] { parse_manifest(good.substr(0, length), "m"); })) << length;
  }
  for (const char* tail : {" ", "\n", "}", "{}", "x"}) EXPECT_TRUE(error_of([&] { parse_manifest(good + tail, "m"); }));
}

// The object with its true hash, so that the rule under test is what refuses it.
void expect_refused(const std::string& object, const std::string& reason) {
  const auto error = error_of([&] { parse_manifest(sealed(object), "dir/manifest.json"); });
  ASSERT_TRUE(error) << "accepted; expected: " << reason;
  EXPECT_EQ(error->code(), ExitCode::bad_input);
  EXPECT_THAT(error->what(), HasSubstr("dir/manifest.json: "));
  EXPECT_THAT(error->what(), HasSubstr(reason));
  EXPECT_LT(std::string(error->what()).size(), 400u);
}

std::string with(const std::string& field, const std::string& value) {
  std::map<std::string, std::string> fields = {{"format", "\"interlock checkpoint\""},
                                               {"version", "1"},
                                               {"step", "3"},
                                               {"config", "\"\""},
                                               {"state", "{}"},
                                               {"files", "[]"}};
  fields[field] = value;
  std::string text;
  for (const auto& [name, content] : fields) {
    if (!content.empty()) text += (text.empty() ? "{\"" : ",\"") + name + "\":" + content;
  }
  return text + "}";
}

std::string file(const std::string& name, const std::string& bytes = "1", const std::string& sha256 = hash) {
  return R"({"name":")" + name + R"(","bytes":)" + bytes + R"(,"sha256":")" + sha256 + R"("})";
}

TEST(Manifest, TheExamplesAreGoodBeforeTheyAreSpoilt) {
  EXPECT_EQ(parse_manifest(sealed(with("step", "3")), "m").step, 3);
  EXPECT_EQ(parse_manifest(sealed(with("files", "[" + file("a.safetensors") + "]")), "m").files.size(), 1u);
}

TEST(Manifest, Fields) {
  for (const char* field : {"format", "version", "step", "config", "state", "files"}) {
    expect_refused(with(field, ""), "missing");
    expect_refused(with(field, "null"), "wrong type");
    expect_refused(with(field, "true"), "wrong type");
    expect_refused(with(field, "1.5"), "wrong type");
  }
  expect_refused(with("surplus", "1"), "unknown field \"surplus\"");
  expect_refused(R"({"step":1,"step":2})", "twice");
  expect_refused(with("version", "2"), "format version 2");
  expect_refused(with("version", "\"1\""), "wrong type");
  expect_refused(with("format", "\"something else\""), "something else");
  expect_refused(with("step", "-1"), "negative");
  expect_refused(with("step", "9223372036854775808"), "2^63");
  expect_refused(with("step", "99999999999999999999"), "wrong type");
  expect_refused(with("state", "[]"), "wrong type");
  expect_refused(with("state", R"({"a":"1","a":"2"})"), "twice");
  expect_refused(with("state", R"({"a":1})"), "wrong type");
  expect_refused(with("state", R"({"a":{"b":"c"}})"), "wrong type");
  expect_refused(with("config", "\"\xff\""), "UTF-8");
  expect_refused(with("config", "\"\xed\xa0\x80\""), "UTF-8");
  expect_refused(with("config", std::string("\"\0\"", 3)), "zero byte");
}

TEST(Manifest, Files) {
  expect_refused(with("files", "{}"), "wrong type");
  expect_refused(with("files", "[1]"), "wrong type");
  expect_refused(with("files", "[[]]"), "wrong type");
  expect_refused(with("files", "[{}]"), "missing");
  expect_refused(with("files", R"([{"name":"a.safetensors","bytes":1}])"), "missing");
  expect_refused(with("files", R"([{"name":"a.safetensors","name":"b.safetensors"}])"), "twice");
  expect_refused(with("files", R"([{"name":"a.safetensors","path":"x"}])"), "unknown field");
  expect_refused(with("files", R"([{"name":{}}])"), "wrong type");
  expect_refused(with("files", "[" + file("a.safetensors", "-1") + "]"), "negative");
  expect_refused(with("files", "[" + file("a.safetensors", "18446744073709551616") + "]"), "wrong type");
  for (const std::string& bad :
       {std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'A'), std::string(64, 'g')})
    expect_refused(with("files", "[" + file("a.safetensors", "1", bad) + "]"), "no SHA-256");
  expect_refused(with("files", "[" + file("a.safetensors") + "," + file("a.safetensors") + "]"), "twice");
  expect_refused(with("files", "[" + file("b.safetensors") + "," + file("a.safetensors") + "]"), "sorted");
}

TEST(Manifest, PathTricks) {
  for (const std::string name : {"",
                                 ".",
                                 "..",
                                 "../a.safetensors",
                                 "/etc/a.safetensors",
                                 "a/b.safetensors",
                                 "./a.safetensors",
                                 "..\\\\a.safetensors",
                                 ".safetensors",
                                 ".a.safetensors",
                                 "a.bin",
                                 "manifest.json",
                                 "a .safetensors",
                                 "a\\u0000.safetensors",
                                 "a\\n.safetensors",
                                 "\\u00e4.safetensors",
                                 "a.safetensors/",
                                 "a.safetensors\\u0000",
                                 "~.safetensors",
                                 "$HOME.safetensors"}) {
    expect_refused(with("files", "[" + file(name) + "]"), "plain");
  }
  expect_refused(with("files", "[" + file(std::string(190, 'a') + ".safetensors") + "]"), "plain");
}

TEST(Manifest, Limits) {
  // 100,000 nested arrays would overflow the stack of a recursive reader.
  expect_refused(with("files", std::string(100'000, '[') + std::string(100'000, ']')), "wrong type");
  std::string objects = "1";
  for (int i = 0; i < 10'000; ++i) objects = R"({"state":)" + objects + "}";
  expect_refused(objects, "wrong type");
  EXPECT_THAT(error_of([&] { parse_manifest(std::string(64'000'001, ' '), "m"); })->what(), HasSubstr("longer than"));
  std::string many;
  for (int i = 0; i <= 100'000; ++i) many += (i == 0 ? "" : ",") + file("a.safetensors");
  expect_refused(with("files", "[" + many + "]"), "100,000 files");
  // What would end the process that reads the config back is no whole checkpoint.
  std::string dots = "a";
  for (int i = 0; i < 200'000; ++i) dots += ".a";
  expect_refused(with("config", "\"" + dots + " = 1\""), "nested more than 256 deep");
}

TEST(Manifest, WithoutItsHash) {
  for (const std::string& text : {std::string(), std::string("{}"), with("step", "3"), std::string(100, ' ')}) {
    const auto error = error_of([&] { parse_manifest(text, "m"); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ExitCode::bad_input);
  }
}

}  // namespace
}  // namespace interlock
