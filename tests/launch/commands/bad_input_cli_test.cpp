// Files that are missing, empty or corrupt end with exit code 65 and name the file; a loss that diverges ends with 70
// and keeps the weights of the last evaluation.
#include <gmock/gmock.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

class BadInput : public SmallProject {};

TEST_F(BadInput, MissingDataPath) {
  expect_failure(train({"data.paths=['corpus', 'nowhere']"}), 65, {"data.paths", "nowhere", "does not exist"});
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

TEST_F(BadInput, GlobWithoutAMatch) {
  expect_failure(train({"data.paths=['corpus/*.pdf']"}), 65, {"data.paths", "corpus/*.pdf", "matches no file"});
}

TEST_F(BadInput, EmptyCorpus) {
  write("empty/a.txt", "");
  expect_failure(train({"data.paths=['empty']"}), 65, {"data.paths", "no bytes", "empty"});
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

TEST_F(BadInput, CorpusShorterThanASequence) {
  write("short/a.txt", "twenty nine bytes: too short\n");
  expect_failure(train({"data.paths=['short']"}), 65, {"29 bytes", "one sequence takes 30"});
  write("short/a.txt", "thirty bytes: just long enough");
  expect_done(train_threads({"data.paths=['short']", "run.steps=1"}));
}

TEST_F(BadInput, BytesThatAreNoTextTrain) {
  std::string bytes;
  for (int i = 0; i < 4096; ++i) bytes += static_cast<char>(i * 7);
  write("bytes/\xff\xfe name.bin", bytes);
  expect_done(train_threads({"data.paths=['bytes']", "run.steps=2"}));
}

TEST_F(BadInput, MissingImages) {
  write("mlp.toml",
        "[model]\nname = \"mlp\"\n[data]\nname = \"idx\"\nimages = \"no-images\"\nlabels = \"no-labels\"\n");
  expect_failure(interlock({"train", "mlp.toml"}), 65, {"no-images"});
}

// A safetensors file by hand: the length, the header as given, the data.
std::string by_hand(const std::string& header, const std::string& data) {
  std::string length(8, '\0');
  const uint64_t size = header.size();
  std::memcpy(length.data(), &size, 8);  // little endian, as this machine
  return length + header + data;
}

std::string entry(const std::string& name, const std::string& shape, int begin, int end) {
  return "\"" + name + R"(":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[)" + std::to_string(begin) + "," +
         std::to_string(end) + "]}";
}

class BadWeights : public BadInput {
 protected:
  void expect_refused(const std::string& content, const Words& words) {
    write("bad.safetensors", content);
    Words all{"bad.safetensors"};
    all.insert(all.end(), words.begin(), words.end());
    expect_failure(interlock({"inspect", "bad.safetensors"}), 65, all);
    expect_failure(interlock({"fill", "bad.safetensors", "a<mask>"}), 65, all);
  }
};

TEST_F(BadWeights, ASoundFileByHandIsListed) {
  write("good.safetensors", by_hand("{" + entry("a", "[2]", 0, 8) + "}", std::string(8, 'x')));
  const CommandResult result = interlock({"inspect", "good.safetensors"});
  expect_done(result);
  EXPECT_THAT(result.output, HasSubstr("1 tensors, 2 parameters"));
}

TEST_F(BadWeights, Truncated) {
  expect_done(train_threads({"run.steps=0"}));
  const std::string whole = read("run/weights.safetensors");
  expect_refused(whole.substr(0, whole.size() - 1), {"truncated"});
  expect_refused(whole.substr(0, 100), {});
  expect_refused(whole.substr(0, 7), {"7 bytes"});
}

TEST_F(BadWeights, Empty) { expect_refused("", {}); }

TEST_F(BadWeights, HugeHeader) { expect_refused(std::string(8, '\x7f') + "{\"a\":1}", {"header"}); }

// Whatever else it is: its first bytes are no length of a header, so no number is told.
TEST_F(BadWeights, AnotherKindOfFile) { expect_refused(std::string(16, '\x7f'), {"no safetensors file"}); }

TEST_F(BadWeights, HeaderThatIsNoJson) { expect_refused(by_hand("{\"a\":", ""), {}); }

TEST_F(BadWeights, TensorsThatOverlap) {
  expect_refused(by_hand("{" + entry("a", "[2]", 0, 8) + "," + entry("b", "[2]", 4, 12) + "}", std::string(12, 'x')),
                 {"\"b\""});
}

TEST_F(BadWeights, TheSameNameTwice) {
  expect_refused(by_hand("{" + entry("a", "[2]", 0, 8) + "," + entry("a", "[2]", 8, 16) + "}", std::string(16, 'x')),
                 {"a"});
}

TEST_F(BadWeights, TensorBeyondTheEnd) {
  expect_refused(by_hand("{" + entry("a", "[1000000]", 0, 4000000) + "}", "x"), {"\"a\""});
}

TEST_F(BadWeights, ShapeThatIsNotItsSize) {
  expect_refused(by_hand("{" + entry("a", "[3]", 0, 8) + "}", std::string(8, 'x')), {"\"a\""});
}

TEST_F(BadWeights, MissingFile) {
  expect_failure(interlock({"inspect", "nowhere"}), 65, {"nowhere"});
  expect_failure(interlock({"inspect", "corpus"}), 65, {"corpus", "weights.safetensors"});
}

TEST_F(BadInput, PlanWithAnUnknownAction) {
  expect_done(interlock({"plan", "config.toml", "--text", "good.plan"}));
  expect_done(interlock({"plan", "--check", "good.plan"}));
  std::string text = read("good.plan");
  const size_t at = text.find("2F3");
  ASSERT_NE(at, std::string::npos) << text;
  write("bad.plan", text.replace(at, 3, "2Q3"));
  expect_failure(interlock({"plan", "--check", "bad.plan"}), 65, {"bad.plan", "2Q3"});
}

TEST_F(BadInput, PlanThatIsNoPlan) {
  expect_failure(interlock({"plan", "--check", "config.toml"}), 65, {"config.toml"});
}

TEST_F(BadInput, PlanFileThatIsMissing) {
  expect_failure(interlock({"plan", "--check", "nowhere.plan"}), 65, {"nowhere.plan"});
}

// In double precision the first steps at such a rate give losses that are absurd but finite, so that there is a
// checkpoint to fall back on; products of three such weights then leave even that range.
const Words exploding = {"run.precision='float64'", "optimizer.learning_rate=1e30", "run.steps=40",
                         "checkpoint.every=1"};
constexpr const char* where = "the loss of stage [0-3] is -?(nan|inf) at step [0-9]+, microbatch [0-3]";

TEST_F(BadInput, ALossThatDivergesNamesThePlaceAndKeepsTheLastCheckpoint) {
  const CommandResult result = train_threads(exploding);
  expect_failure(result, 70, {"optimizer.learning_rate"});
  EXPECT_THAT(result.tail(), ContainsRegex(where));
  const CommandResult kept = interlock({"inspect", "run", "--json"});
  expect_done(kept);
  EXPECT_EQ(last_object(kept)["digest"].get<std::string>().size(), 64U);
}

TEST_F(BadInput, ALossThatDivergesBeforeAnyCheckpointLeavesNoWeights) {
  const CommandResult result = train_threads({"optimizer.learning_rate=1e30", "checkpoint.every=0"});
  expect_failure(result, 70, {"optimizer.learning_rate"});
  EXPECT_THAT(result.tail(), ContainsRegex(where));
  EXPECT_FALSE(std::filesystem::exists(path("run/weights.safetensors")));
  expect_no_half_files(path("run"));
}

}  // namespace
}  // namespace interlock
