// The metrics of a run that goes on after a step: what came before stays, what is done again stands there once.

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "runtime/core/error.h"
#include "runtime/observe/metrics.h"
#include "tests/observe/temporary_folder.h"
#include "tests/observe/tensorboard_reader.h"

namespace interlock {
namespace {

StepMetrics at_step(int64_t step, double loss) {
  StepMetrics metrics;
  metrics.step = step;
  metrics.loss = loss;
  return metrics;
}

void write_steps(const TemporaryFolder& folder, int64_t done, int64_t last, double loss) {
  MetricsWriter writer(folder.path(), done);
  for (int64_t step = done + 1; step <= last; ++step) writer.write(at_step(step, loss));
}

// "step:loss" of each line, in order.
std::string lines(const TemporaryFolder& folder) {
  std::istringstream in(content(folder / "metrics.jsonl"));
  std::string all;
  for (std::string line; std::getline(in, line);) {
    const auto object = nlohmann::json::parse(line);
    all += (all.empty() ? "" : " ") + object["step"].dump() + ":" + object["loss"].dump();
  }
  return all;
}

void append(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::app) << text; }

TEST(ResumedMetrics, LaterStepsAreReplaced) {
  TemporaryFolder folder;
  write_steps(folder, 0, 4, 1.5);
  EXPECT_EQ(lines(folder), "1:1.5 2:1.5 3:1.5 4:1.5");
  write_steps(folder, 2, 3, 2.5);
  EXPECT_EQ(lines(folder), "1:1.5 2:1.5 3:2.5");
  write_steps(folder, 3, 5, 3.5);
  EXPECT_EQ(lines(folder), "1:1.5 2:1.5 3:2.5 4:3.5 5:3.5");
}

TEST(ResumedMetrics, TheLinesThatStayAreTheSameBytes) {
  TemporaryFolder folder;
  write_steps(folder, 0, 3, 0.1);  // 0.1 has no exact form: parsing and printing again could change it
  const std::string before = content(folder / "metrics.jsonl");
  { MetricsWriter writer(folder.path(), 3); }
  EXPECT_EQ(content(folder / "metrics.jsonl"), before);
}

TEST(ResumedMetrics, SecondsGoOnWhereTheyWere) {
  TemporaryFolder folder;
  append(folder / "metrics.jsonl", "{\"step\":1,\"seconds\":1000.5}\n{\"step\":2,\"seconds\":2000.0}\n");
  write_steps(folder, 1, 2, 1.5);  // step 2 is done again
  const auto seconds = [&](int line) {
    std::istringstream in(content(folder / "metrics.jsonl"));
    std::string text;
    for (int i = 0; i <= line; ++i) std::getline(in, text);
    return nlohmann::json::parse(text)["seconds"].get<double>();
  };
  EXPECT_EQ(seconds(0), 1000.5);
  EXPECT_GE(seconds(1), 1000.5);
  EXPECT_LT(seconds(1), 1060);  // not on top of the step that was dropped
}

TEST(ResumedMetrics, HalfALineIsDropped) {
  TemporaryFolder folder;
  write_steps(folder, 0, 2, 1.5);
  append(folder / "metrics.jsonl", R"({"step":3,"loss":)");
  write_steps(folder, 3, 4, 2.5);  // the checkpoint of step 3 was whole, its line was not
  EXPECT_EQ(lines(folder), "1:1.5 2:1.5 4:2.5");
}

TEST(ResumedMetrics, AMissingFileOrOneWithoutOurLinesIsBegun) {
  TemporaryFolder folder;
  write_steps(folder, 2, 3, 1.5);
  EXPECT_EQ(lines(folder), "3:1.5");
  append(folder / "metrics.jsonl", "[]\n{\"step\":\"x\"}\nnonsense\n");
  write_steps(folder, 3, 4, 2.5);
  EXPECT_EQ(lines(folder), "3:1.5 4:2.5");
}

TEST(ResumedMetrics, AFreshRunReplacesAll) {
  TemporaryFolder folder;
  write_steps(folder, 0, 4, 1.5);
  write_steps(folder, 0, 1, 2.5);
  EXPECT_EQ(lines(folder), "1:2.5");
}

// What TensorBoard shows, "step:loss" in order: files by name; a start event of step n makes it forget n and everything
// later.
std::string shown(const TemporaryFolder& folder) {
  std::set<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) paths.insert(entry.path().string());
  }
  std::vector<std::pair<uint64_t, double>> points;
  for (const std::string& path : paths) {
    for (const std::string& payload : tensorboard_reader::records(content(path))) {
      const auto event = tensorboard_reader::parse(payload);
      if (event.contains(7)) {
        const auto session = tensorboard_reader::parse(event.find(7)->second.bytes);
        EXPECT_EQ(session.find(1)->second.number, 1u);  // SessionLog.START
        std::erase_if(points, [from = event.find(2)->second.number](const auto& point) { return point.first >= from; });
      }
      if (event.contains(5))
        points.emplace_back(event.find(2)->second.number, tensorboard_reader::scalars(event).at("loss"));
    }
  }
  std::string text;
  for (const auto& [step, loss] : points)
    text += (text.empty() ? "" : " ") + std::to_string(step) + ":" + std::to_string(loss).substr(0, 3);
  return text;
}

TEST(ResumedMetrics, TensorBoardForgetsWhatIsDoneAgain) {
  TemporaryFolder folder;
  write_steps(folder, 0, 4, 1.5);
  write_steps(folder, 2, 3, 2.5);  // mostly within the same second as the first
  EXPECT_EQ(shown(folder), "1:1.5 2:1.5 3:2.5");
}

// A run that was killed before its first checkpoint goes on at step 1: its curves must not run backwards.
TEST(ResumedMetrics, TensorBoardForgetsARunThatBeginsAgain) {
  TemporaryFolder folder;
  write_steps(folder, 0, 4, 1.5);
  write_steps(folder, 0, 3, 2.5);
  EXPECT_EQ(shown(folder), "1:2.5 2:2.5 3:2.5");
}

// Not waited for, and not read for ever.
TEST(ResumedMetrics, OnlyRegularFilesOfLinesAreGoneOnWith) {
  TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  const auto said = [&] {
    try {
      MetricsWriter writer(folder.path(), 3);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      return std::string(error.what());
    }
    return std::string();
  };
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_NE(said().find(path + ": is not a regular file"), std::string::npos);
  std::filesystem::remove(path);
  std::ofstream(path) << "{\"step\": 1}\n";
  std::filesystem::resize_file(path, uint64_t{20} << 30);
  EXPECT_NE(said().find("more than 1 MiB"), std::string::npos);
  std::ofstream(path) << "{\"step\": 1}\n{\"step\": 2";  // cut short by a kill
  EXPECT_EQ(said(), "");
}

}  // namespace
}  // namespace interlock
