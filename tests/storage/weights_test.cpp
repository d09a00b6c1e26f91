// Digests against published vectors and a digest put together by hand; comparison against differences put in by hand.

#include "runtime/storage/weights.h"

#include <cstring>
#include <limits>

#include "runtime/storage/sha256.h"
#include "runtime/storage/weights_compare.h"
#include "tests/storage/support.h"

namespace interlock {
namespace {

std::string sha256(const std::string& text) {
  Sha256 digest;
  digest.add(text);
  return digest.hex();
}

TEST(Sha256, PublishedVectors) {  // FIPS 180-4 examples
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 pieces;
  for (int i = 0; i < 1000; ++i) pieces.add(std::string(1000, 'a'));
  EXPECT_EQ(pieces.hex(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

template <class T>
std::string raw(std::initializer_list<T> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T)};
}

struct Tensor {
  std::string name, dtype;
  std::vector<int64_t> shape;
  std::string content;
};

class Weights : public testing::Test {
 protected:
  std::shared_ptr<const SafetensorsFile> file(const std::vector<Tensor>& tensors,
                                              std::map<std::string, std::string> metadata = {}) {
    const std::string path = folder_.file(std::to_string(count_++));
    std::vector<TensorEntry> entries;
    for (const Tensor& t : tensors) entries.push_back({t.name, t.dtype, t.shape});
    SafetensorsWriter writer(path, entries, std::move(metadata));
    for (const TensorEntry& entry : writer.order()) {
      for (const Tensor& t : tensors) {
        if (t.name == entry.name) writer.write(t.name, bytes_of(t.content));
      }
    }
    writer.commit();
    return SafetensorsFile::open(path);
  }
  TemporaryFolder folder_;
  int count_ = 0;
};

TEST_F(Weights, DigestIsOverNamesTypesShapesAndBytes) {
  const Tensor a{"a", "F32", {2, 1}, raw({1.0f, 2.0f})}, b{"b", "F64", {}, raw({3.0})};
  const auto both = file({b, a});
  EXPECT_EQ(weights_digest(*both),
            sha256("a F32 [2,1] " + sha256(a.content) + "\nb F64 [] " + sha256(b.content) + "\n"));
  EXPECT_EQ(weights_digest(*both), weights_digest(*file({a, b}, {{"step", "7"}})));  // metadata is not weights
  EXPECT_NE(weights_digest(*both), weights_digest(*file({a})));
  EXPECT_NE(weights_digest(*both), weights_digest(*file({{"a", "F32", {1, 2}, a.content}, b})));
  EXPECT_NE(weights_digest(*both), weights_digest(*file({{"c", "F32", {2, 1}, a.content}, b})));
  EXPECT_NE(weights_digest(*both), weights_digest(*file({{"a", "I32", {2, 1}, a.content}, b})));
  EXPECT_NE(weights_digest(*both), weights_digest(*file({{"a", "F32", {2, 1}, raw({1.0f, -2.0f})}, b})));
}

TEST_F(Weights, ComparesEveryNumberType) {
  const std::vector<std::tuple<std::string, std::string, std::string, double>> cases = {
      {"F32", raw({1.0f, 2.0f}), raw({1.0f, 2.5f}), 0.5},
      {"F64", raw({1.0, 2.0}), raw({1.0, 2.0 + 0x1p-51}), 0x1p-51},
      {"BF16", raw<uint16_t>({0x3f80, 0x4000}), raw<uint16_t>({0x3f80, 0x4040}), 1},
      {"F16", raw<uint16_t>({0x3c00, 0x0001}), raw<uint16_t>({0x3c00, 0x8001}), 0x1p-23},
      {"I64", raw<int64_t>({5, std::numeric_limits<int64_t>::max()}),
       raw<int64_t>({5, std::numeric_limits<int64_t>::max() - 1}), 1},
      {"U64", raw<uint64_t>({5, ~uint64_t{0}}), raw<uint64_t>({5, ~uint64_t{0} - 3}), 3},
      {"I8", raw<int8_t>({0, -128}), raw<int8_t>({0, 127}), 255},
      {"U8", raw<uint8_t>({0, 255}), raw<uint8_t>({0, 0}), 255},
      {"BOOL", raw<uint8_t>({0, 1}), raw<uint8_t>({0, 0}), 1},
      {"F32", raw({1.0f, std::numeric_limits<float>::quiet_NaN()}), raw({1.0f, 2.0f}),
       std::numeric_limits<double>::infinity()},
      {"F32", raw({1.0f, std::numeric_limits<float>::quiet_NaN()}),
       raw({1.0f, std::numeric_limits<float>::quiet_NaN()}), std::numeric_limits<double>::infinity()},
      {"F32", raw({1.0f, std::numeric_limits<float>::infinity()}), raw({1.0f, std::numeric_limits<float>::infinity()}),
       0},
      {"F8_E4M3", "ab", "ab", 0},
      {"F8_E4M3", "ab", "ac", std::numeric_limits<double>::infinity()},
  };
  for (const auto& [dtype, here, there, expected] : cases) {
    const auto result = compare_weights(*file({{"t", dtype, {2}, here}}), *file({{"t", dtype, {2}, there}}));
    EXPECT_EQ(result.largest, expected) << dtype;
    EXPECT_EQ(result.name, "t");
    EXPECT_TRUE(result.unlike.empty());
  }
}

TEST_F(Weights, ComparisonNamesTheLargestAndWhatIsApart) {
  std::string long_here(4 * 5000, '\0'), long_there = long_here;
  const float three = 3;
  std::memcpy(long_there.data() + 4 * 4999, &three, 4);  // the last element of the last piece
  const auto here = file({{"a", "F32", {1}, raw({1.0f})},
                          {"long", "F32", {5000}, long_here},
                          {"only.here", "U8", {1}, "x"},
                          {"shape", "U8", {2}, "xy"},
                          {"type", "F32", {1}, raw({2.0f})}});
  const auto there = file({{"a", "F32", {1}, raw({2.0f})},
                           {"long", "F32", {5000}, long_there},
                           {"only.there", "U8", {1}, "x"},
                           {"shape", "U8", {1, 2}, "xy"},
                           {"type", "F64", {1}, raw({2.5})}});
  const auto result = compare_weights(*here, *there);
  EXPECT_EQ(result.largest, 3);
  EXPECT_EQ(result.name, "long");
  EXPECT_EQ(result.missing, std::vector<std::string>{"only.there"});
  EXPECT_EQ(result.unexpected, std::vector<std::string>{"only.here"});
  ASSERT_EQ(result.unlike.size(), 2u);
  EXPECT_EQ(result.unlike[0].here.name, "shape");
  EXPECT_EQ(result.unlike[1].here.name, "type");
  EXPECT_LT(compare_weights(*here, *file({})).largest, 0);
}

}  // namespace
}  // namespace interlock
