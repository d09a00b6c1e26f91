// metrics.jsonl against a JSON parser, event files against an independent reader, and both on disks that are full.
#include "runtime/observe/metrics.h"

#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/core/error.h"
#include "runtime/observe/tensorboard.h"
#include "tests/observe/temporary_folder.h"
#include "tests/observe/tensorboard_reader.h"

namespace interlock {
namespace {

StepMetrics example(int64_t step) {
  StepMetrics metrics;
  metrics.step = step;
  metrics.loss = 5.25 / static_cast<double>(step);
  metrics.losses = {{0, 6.5}, {3, 5.25}};
  metrics.learning_rate = 1e-3;
  metrics.gradient_norm = 2.5;
  metrics.gradient_norms = {{0, 1.5}, {1, 2.0}};
  metrics.tokens_per_second = 1234.5;
  metrics.idle_share = 0.125;
  return metrics;
}

std::vector<nlohmann::json> lines(const std::string& path) {
  std::vector<nlohmann::json> all;
  std::istringstream in(content(path));
  for (std::string line; std::getline(in, line);) all.push_back(nlohmann::json::parse(line));
  return all;
}

std::string event_file(const TemporaryFolder& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) return entry.path();
  }
  return "";
}

TEST(Metrics, OneObjectPerStepWithEveryKey) {
  TemporaryFolder folder;
  MetricsWriter writer(folder.path());
  writer.write(example(1));
  auto second = example(2);
  second.validation_loss = 4.75;
  second.validation_losses = {{0, 5.5}, {3, 4.75}};
  second.techniques = {{"layer_drop.layers_run", 0.75}};
  writer.write(second);

  const auto read =
      lines(folder / "metrics.jsonl");  // the writer is still open: each record is out when write() returns
  ASSERT_EQ(read.size(), 2u);
  auto first = read[0];
  EXPECT_LT(std::abs(first["seconds"].get<double>()), 60);  // since the writer was made
  EXPECT_THAT(first["time"].get<std::string>(), testing::MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z"));
  EXPECT_LE(first["seconds"], read[1]["seconds"]);
  first.erase("seconds");
  first.erase("time");
  const auto expected = nlohmann::json::parse(R"({"step": 1, "loss": 5.25, "losses": {"0": 6.5, "3": 5.25},
      "learning_rate": 0.001, "gradient_norm": 2.5, "gradient_norms": {"0": 1.5, "1": 2.0},
      "tokens_per_second": 1234.5, "idle_share": 0.125})");
  EXPECT_EQ(first, expected);
  EXPECT_EQ(read[1]["validation_losses"], nlohmann::json::parse(R"({"0": 5.5, "3": 4.75})"));
  EXPECT_EQ(read[1]["step"], 2);
  EXPECT_EQ(read[1]["validation_loss"], 4.75);
  EXPECT_FALSE(read[0].contains("techniques"));
  EXPECT_EQ(read[1]["techniques"], nlohmann::json::parse(R"({"layer_drop.layers_run": 0.75})"));
}

TEST(Metrics, NumbersThatJsonLacksAreNull) {
  TemporaryFolder folder;
  MetricsWriter writer(folder.path());
  auto metrics = example(1);
  metrics.loss = std::numeric_limits<double>::quiet_NaN();
  metrics.losses[0] = std::numeric_limits<double>::infinity();
  metrics.validation_loss = -std::numeric_limits<double>::infinity();
  writer.write(metrics);
  const auto read = lines(folder / "metrics.jsonl");
  ASSERT_EQ(read.size(), 1u);
  EXPECT_TRUE(read[0]["loss"].is_null());
  EXPECT_TRUE(read[0]["losses"]["0"].is_null());
  EXPECT_TRUE(read[0]["validation_loss"].is_null());
  EXPECT_EQ(read[0]["gradient_norm"], 2.5);

  const auto events = tensorboard_reader::records(content(event_file(folder)));
  const auto values = tensorboard_reader::scalars(tensorboard_reader::parse(events.at(2)));  // behind version and start
  EXPECT_TRUE(std::isnan(values.at("loss")));
  EXPECT_TRUE(std::isinf(values.at("loss/0")));
}

TEST(TensorBoard, KnownCrcs) {  // RFC 3720, appendix B.4, and the check value of the CRC catalogue
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(TensorBoard, FilesReadBack) {
  TemporaryFolder folder;
  {
    MetricsWriter writer(folder.path());
    writer.write(example(1));
    auto later = example(300);  // a step of more than one varint byte
    later.validation_loss = 4.75;
    later.validation_losses = {{0, 5.5}};
    later.techniques = {{"layer_drop.layers_run", 0.75}};
    writer.write(later);
  }
  const auto payloads = tensorboard_reader::records(content(event_file(folder)));
  ASSERT_EQ(payloads.size(), 4u);
  const auto first = tensorboard_reader::parse(payloads[0]);
  EXPECT_EQ(first.find(3)->second.bytes, "brain.Event:2");
  EXPECT_GT(first.find(1)->second.real, 1.6e9);               // seconds since 1970
  const auto start = tensorboard_reader::parse(payloads[1]);  // a session that begins at step 1
  EXPECT_TRUE(start.contains(7));
  EXPECT_EQ(start.find(2)->second.number, 1u);
  EXPECT_EQ(tensorboard_reader::parse(payloads[2]).find(2)->second.number, 1u);
  const auto last = tensorboard_reader::parse(payloads[3]);
  EXPECT_EQ(last.find(2)->second.number, 300u);
  const std::map<std::string, double> expected = {{"loss", static_cast<float>(5.25 / 300)},
                                                  {"loss/0", 6.5},
                                                  {"loss/3", 5.25},
                                                  {"learning_rate", static_cast<float>(1e-3)},
                                                  {"gradient_norm", 2.5},
                                                  {"gradient_norm/0", 1.5},
                                                  {"gradient_norm/1", 2.0},
                                                  {"validation_loss/0", 5.5},
                                                  {"tokens_per_second", 1234.5},
                                                  {"idle_share", 0.125},
                                                  {"validation_loss", 4.75},
                                                  {"layer_drop/layers_run", 0.75}};
  auto told = tensorboard_reader::scalars(last);
  EXPECT_EQ(told.erase("seconds"), 1u);
  EXPECT_EQ(told, expected);
}

TEST(TensorBoard, ReaderRefusesAChangedByte) {  // or the tests above would prove nothing
  std::string record = tensorboard_record("payload");
  EXPECT_EQ(tensorboard_reader::records(record).at(0), "payload");
  for (size_t place = 0; place < record.size(); ++place) {
    std::string changed = record;
    changed[place] ^= 1;
    EXPECT_ANY_THROW(tensorboard_reader::records(changed)) << place;
  }
}

// What `call` throws, as "code: message".
template <class Call>
std::string failure(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return message(static_cast<int>(error.code()), ": ", error.what());
  }
  return "nothing";
}

TEST(MetricsFailure, FolderThatIsNotThere) {
  const auto what = failure([] { MetricsWriter writer("/dev/null/run"); });
  EXPECT_TRUE(what.starts_with("73: ")) << what;
  EXPECT_NE(what.find("/dev/null/run/metrics.jsonl"), std::string::npos) << what;
}

TEST(MetricsFailure, DeviceThatIsAlwaysFull) {
  TemporaryFolder folder;
  std::filesystem::create_symlink("/dev/full", folder / "metrics.jsonl");
  MetricsWriter writer(folder.path());
  const auto what = failure([&] { writer.write(example(1)); });
  EXPECT_TRUE(what.starts_with("73: ")) << what;
  EXPECT_NE(what.find(std::strerror(ENOSPC)), std::string::npos) << what;
}

// Writes until it fails; every line that is left must be whole.
void fill(const TemporaryFolder& folder, const std::string& run) {
  MetricsWriter writer(run);
  std::string what = "nothing";
  int64_t step = 0;
  while (what == "nothing" && step < 100'000) {
    ++step;
    what = failure([&] { writer.write(example(step)); });
  }
  EXPECT_TRUE(what.starts_with("73: ")) << what;
  const auto read = lines(folder / "run/metrics.jsonl");
  ASSERT_FALSE(read.empty());
  for (size_t i = 0; i < read.size(); ++i) EXPECT_EQ(read[i]["step"], i + 1);
}

TEST(MetricsFailure, LargestFileSize) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder / "run");
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);  // so that write() answers EFBIG, after a short write
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{10'000, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  fill(folder, folder / "run");
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, old_handler);
}

TEST(MetricsFailure, FullDisk) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  std::filesystem::create_directory(run);
  // A mount namespace of this process's own: the small disk goes away with it, whatever happens.
  if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tmpfs", run.c_str(), "tmpfs", 0, "size=32k") != 0) {
    GTEST_SKIP() << "no right to mount a small disk here: " << std::strerror(errno);
  }
  fill(folder, run);
  ::umount(run.c_str());
}

// What is written to a file that has no name any more is lost; the run is told, and the rest is kept.
TEST(Metrics, GoOnWhenTheFolderIsRemoved) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  std::filesystem::create_directory(run);
  MetricsWriter writer(run);
  writer.write(example(1));
  std::filesystem::remove_all(run);
  testing::internal::CaptureStderr();
  writer.write(example(2));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("from step 2 on they are written anew"), std::string::npos);
  writer.write(example(3));
  const auto read = lines(run + "/metrics.jsonl");
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0]["step"], 2);
  std::filesystem::remove(run + "/metrics.jsonl");
  testing::internal::CaptureStderr();
  writer.write(example(4));
  EXPECT_FALSE(testing::internal::GetCapturedStderr().empty());
  EXPECT_EQ(lines(run + "/metrics.jsonl").size(), 1u);
}

}  // namespace
}  // namespace interlock
