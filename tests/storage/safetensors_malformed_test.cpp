// Files that must be refused: each broken rule ends with exit code 65, the file's name and the reason.

#include <sys/stat.h>

#include "runtime/storage/safetensors.h"
#include "tests/storage/support.h"

namespace interlock {
namespace {

std::optional<Error> parse_error(const std::string& content) {
  return error_of([&] { SafetensorsFile::parse(bytes_of(content), "bad.safetensors"); });
}

void expect_refused(const std::string& content, const std::string& reason) {
  const auto error = parse_error(content);
  ASSERT_TRUE(error) << "accepted; expected: " << reason;
  EXPECT_EQ(error->code(), ExitCode::bad_input);
  EXPECT_NE(std::string(error->what()).find("bad.safetensors"), std::string::npos) << error->what();
  EXPECT_NE(std::string(error->what()).find(reason), std::string::npos) << error->what();
  EXPECT_LT(std::string(error->what()).size(), 400u);
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return '"' + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + '}';
}
std::string header_of(const std::string& a, const std::string& b = "") {
  return '{' + a + (b.empty() ? "" : ',' + b) + '}';
}

const std::string good =
    by_hand(header_of(entry("a", "F32", "[2]", "[0,8]"), entry("b", "U8", "[3]", "[8,11]")), "12345678abc");

TEST(SafetensorsMalformed, TheGoodFileIsGood) { EXPECT_FALSE(parse_error(good)); }

TEST(SafetensorsMalformed, EveryTruncationAndEveryTail) {
  for (size_t length = 0; length < good.size(); ++length) {
    const auto error = parse_error(good.substr(0, length));
    ASSERT_TRUE(error) << length;
    EXPECT_EQ(error->code(), ExitCode::bad_input);
  }
  expect_refused(good + "x", "belong to no tensor");
}

TEST(SafetensorsMalformed, NoFlippedHeaderBitCrashes) {
  // A flip in a name or a data type of equal size is legal; what is accepted must stay inside the data.
  size_t refused = 0;
  for (size_t at = 0; at < good.size() - 11; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      try {
        const auto file = SafetensorsFile::parse(bytes_of(bad), "bad");
        size_t covered = 0;
        for (const TensorEntry& tensor : file->tensors()) covered += file->bytes(tensor).size();
        EXPECT_EQ(covered, 11u);
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::bad_input);
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, (good.size() - 11) * 6);  // names (2 of ~110 bytes) and digits aside, a flip breaks something
}

TEST(SafetensorsMalformed, Coverage) {
  const std::string eight = "12345678";
  expect_refused(by_hand(header_of(entry("a", "U8", "[4]", "[0,4]"), entry("b", "U8", "[5]", "[3,8]")), eight),
                 "overlaps");
  expect_refused(by_hand(header_of(entry("a", "U8", "[8]", "[0,8]"), entry("b", "U8", "[8]", "[0,8]")), eight),
                 "overlaps");
  expect_refused(by_hand(header_of(entry("a", "U8", "[3]", "[0,3]"), entry("b", "U8", "[4]", "[4,8]")), eight), "hole");
  expect_refused(by_hand(header_of(entry("a", "U8", "[7]", "[1,8]")), eight), "hole");
  expect_refused(by_hand(header_of(entry("a", "U8", "[7]", "[0,7]")), eight), "belong to no tensor");
  expect_refused(by_hand(header_of(entry("a", "U8", "[9]", "[0,9]")), eight), "truncated");
  expect_refused(by_hand(header_of(entry("a", "U8", "[7]", "[0,8]")), eight), "need 7 bytes");
  expect_refused(by_hand(header_of(entry("a", "U8", "[8]", "[8,0]")), eight), "hole");
  expect_refused(by_hand(header_of(entry("a", "U8", "[0]", "[0,0]"), entry("b", "F32", "[2]", "[8,0]")), eight),
                 "hole");
  expect_refused(by_hand("{}", eight), "belong to no tensor");
  expect_refused(by_hand(header_of(entry("a", "F4", "[3]", "[0,1]")), "x"), "no whole number of bytes");
}

TEST(SafetensorsMalformed, ProductsAndOffsetsNearTheEndOf64Bits) {
  const std::string two32 = "4294967296";
  expect_refused(by_hand(header_of(entry("a", "F32", "[" + two32 + "," + two32 + "]", "[0,0]")), ""), "2^64");
  // 2^62 elements of 4 bytes are 2^64 bytes, which wraps to 0.
  expect_refused(by_hand(header_of(entry("a", "F32", "[4611686018427387904]", "[0,0]")), ""), "2^64");
  expect_refused(by_hand(header_of(entry("a", "U8", "[0," + two32 + "," + two32 + "]", "[0,0]") + "," +
                                   entry("b", "U8", "[" + two32 + "," + two32 + ",0]", "[0,0]")),
                         ""),
                 "2^64");
  expect_refused(by_hand(header_of(entry("a", "U8", "[18446744073709551615]", "[0,0]")), ""), "2^63 - 1");
  expect_refused(by_hand(header_of(entry("a", "U8", "[1]", "[18446744073709551615,0]")), "x"), "hole");
  expect_refused(by_hand(header_of(entry("a", "U8", "[1]", "[0,18446744073709551615]")), "x"), "need 1 bytes");
  expect_refused(by_hand(header_of(entry("a", "U8", "[1]", "[0,18446744073709551616]")), "x"),
                 "no integer of at most 64");
  expect_refused(by_hand(header_of(entry("a", "U8", "[1]", "[0,1]"), entry("b", "U8", "[1]", "[1,0]")), "x"),
                 "need 1 bytes");
}

TEST(SafetensorsMalformed, Header) {
  const std::string one = entry("a", "U8", "[1]", "[0,1]");
  expect_refused(by_hand(header_of(one, one), "x"), "overlaps");
  expect_refused(by_hand(header_of(entry("a", "U8", "[0]", "[0,0]"), entry("a", "U8", "[1]", "[0,1]")), "x"), "twice");
  expect_refused(by_hand(R"({"__metadata__":{"k":"1","k":"2"},)" + one + "}", "x"), "twice");
  expect_refused(by_hand(R"({"__metadata__":{},"__metadata__":{},)" + one + "}", "x"), "twice");
  expect_refused(by_hand(R"({"__metadata__":{"k":1},)" + one + "}", "x"), "wrong type");
  expect_refused(by_hand(R"({"__metadata__":{"k":{"l":"m"}},)" + one + "}", "x"), "too deep");
  expect_refused(by_hand(R"({"__metadata__":null,)" + one + "}", "x"), "wrong type");
  expect_refused(by_hand(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"), "twice");
  expect_refused(by_hand(R"({"a":{"dtype":"U8","shape":[1]}})", "x"), "missing");
  expect_refused(by_hand(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", "x"), "fewer than 2");
  expect_refused(by_hand(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}})", "x"), "more than 2");
  expect_refused(by_hand(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", "x"), "unknown field");
  expect_refused(by_hand(R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", "x"), "wrong type");
  expect_refused(by_hand(R"({"a":{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}})", "x"), "wrong type");
  expect_refused(by_hand(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", "x"), "negative");
  expect_refused(by_hand(R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", "x"), "integer");
  expect_refused(by_hand(R"({"a":{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}})", "x"), "wrong type");
  expect_refused(by_hand(R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,1]}})", "x"), "wrong type");
  expect_refused(by_hand(R"({"a":[]})", ""), "wrong type");
  expect_refused(by_hand(header_of(entry("a", "F33", "[1]", "[0,4]")), "1234"), "unknown dtype \"F33\"");
  expect_refused(by_hand(header_of(entry("a", "f32", "[1]", "[0,4]")), "1234"), "unknown dtype");
  expect_refused(by_hand("[]", ""), "begin with `{`");
  expect_refused(by_hand(" {}", ""), "begin with `{`");
  expect_refused(by_hand("\xef\xbb\xbf{}", ""), "begin with `{`");
  expect_refused(by_hand("", ""), "begin with `{`");
  expect_refused(by_hand("{} {}", ""), "not valid");
  expect_refused(by_hand("{},", ""), "not valid");
  expect_refused(by_hand(std::string("{}\0\0", 4), ""), "zero byte");
  expect_refused(by_hand(header_of(entry("\xff", "U8", "[1]", "[0,1]")), "x"), "UTF-8");
  expect_refused(by_hand(header_of(entry("\xed\xa0\x80", "U8", "[1]", "[0,1]")), "x"), "UTF-8");  // a lone surrogate
  expect_refused(by_hand(header_of(entry("\xc0\xaf", "U8", "[1]", "[0,1]")), "x"), "UTF-8");      // an overlong form
  expect_refused(by_hand(header_of(entry("\\ud800", "U8", "[1]", "[0,1]")), "x"), "UTF-8");
}

TEST(SafetensorsMalformed, Limits) {
  const auto ones = [](size_t count) {
    std::string shape = "[1";
    for (size_t i = 1; i < count; ++i) shape += ",1";
    return shape + "]";
  };
  EXPECT_FALSE(parse_error(by_hand(header_of(entry("a", "U8", ones(64), "[0,1]")), "x")));
  expect_refused(by_hand(header_of(entry("a", "U8", ones(65), "[0,1]")), "x"), "64 dimensions");
  EXPECT_FALSE(parse_error(by_hand(header_of(entry(std::string(1024, 'n'), "U8", "[1]", "[0,1]")), "x")));
  expect_refused(by_hand(header_of(entry(std::string(1025, 'n'), "U8", "[1]", "[0,1]")), "x"), "1024 bytes");
  // 100,000 nested arrays would overflow the stack of a recursive reader.
  expect_refused(by_hand(R"({"a":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}", ""), "wrong type");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += R"({"shape":)";
  expect_refused(by_hand(objects, ""), "too deep");

  std::string huge = by_hand("{}", "");
  for (const uint64_t length : {uint64_t{100'000'001}, uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    for (size_t i = 0; i < 8; ++i) huge[i] = static_cast<char>(length >> (8 * i));
    expect_refused(huge, "the limit is 100000000");
  }
  std::string many = "{";
  for (int i = 0; i <= 1'000'000; ++i) {
    many += (i == 0 ? "" : ",") + entry(std::to_string(i), "U8", "[0]", "[0,0]");
  }
  expect_refused(by_hand(many + "}", ""), "1,000,000 tensors");
}

TEST(SafetensorsMalformed, WhatIsLegalIsAccepted) {
  EXPECT_FALSE(parse_error(by_hand("{}", "")));
  EXPECT_FALSE(parse_error(by_hand("{}        ", "")));
  EXPECT_FALSE(parse_error(by_hand(header_of(entry("a", "F32", "[]", "[0,4]")), "1234")));
  EXPECT_FALSE(
      parse_error(by_hand(header_of(entry("a", "F32", "[0,9]", "[0,0]"), entry("b", "U8", "[1]", "[0,1]")), "x")));
  EXPECT_FALSE(
      parse_error(by_hand(header_of(entry("b", "U8", "[1]", "[1,2]"), entry("a", "U8", "[1]", "[0,1]")), "xy")));
  EXPECT_FALSE(parse_error(by_hand(header_of(entry("a", "F4", "[4]", "[0,2]")), "xy")));
  EXPECT_FALSE(parse_error(by_hand(header_of(entry("a", "F6_E2M3", "[4]", "[0,3]")), "xyz")));
}

TEST(SafetensorsMalformed, WhatIsNoRegularFile) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo(folder.file("pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("loop", folder.file("loop"));
  put(folder.file("empty"), "");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {folder.path().string(), "is a folder"}, {folder.file("pipe"), "not a regular file"},
      {"/dev/zero", "not a regular file"},     {folder.file("absent"), "No such file"},
      {folder.file("loop"), "symbolic links"}, {folder.file("empty"), "only 0 bytes"},
  };
  for (const auto& [path, reason] : cases) {
    const auto error = error_of([&] { SafetensorsFile::open(path); });
    ASSERT_TRUE(error) << path;
    EXPECT_EQ(error->code(), ExitCode::bad_input);
    EXPECT_NE(std::string(error->what()).find(path), std::string::npos) << error->what();
    EXPECT_NE(std::string(error->what()).find(reason), std::string::npos) << error->what();
  }
}

}  // namespace
}  // namespace interlock
