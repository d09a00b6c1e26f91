// `interlock verify` as it is called: what it prints of whole and of damaged things, and how it ends.

#include <gmock/gmock.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "launch/command.h"
#include "tests/storage/checkpoint_support.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

class VerifyCommand : public testing::Test {
 protected:
  struct Result {
    int code = -1;
    std::string output, error;
  };
  static Result verify(const std::vector<std::string>& arguments) {
    CLI::App app;
    const auto command = Commands::instance().create("command", "verify");
    command->declare(app);
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    std::ostringstream output;
    std::streambuf* before = std::cout.rdbuf(output.rdbuf());
    Result result;
    const auto error = error_of([&] { result.code = command->run(); });
    std::cout.rdbuf(before);
    result.output = output.str();
    if (error) result = {static_cast<int>(error->code()), result.output, error->what()};
    return result;
  }

  TemporaryFolder folder_;
  std::string run_ = folder_.path().string();
};

TEST_F(VerifyCommand, WholeCheckpoints) {
  const std::string first = make_checkpoint(run_, 1);
  make_checkpoint(run_, 2);
  const Result one = verify({first});
  EXPECT_EQ(one.code, 0);
  EXPECT_THAT(one.output, HasSubstr(first));
  EXPECT_THAT(one.output, HasSubstr(message(fs::file_size(first + "/weights-00001.safetensors"), " bytes  whole")));
  EXPECT_THAT(one.output, Not(HasSubstr("step-00000002")));
  EXPECT_THAT(one.output, Not(HasSubstr("BROKEN")));
  const Result run = verify({run_});
  EXPECT_EQ(run.code, 0);
  EXPECT_THAT(run.output, HasSubstr("step-00000001"));
  EXPECT_THAT(run.output, HasSubstr("step-00000002"));
  const json result = json::parse(verify({run_, "--json"}).output);
  EXPECT_EQ(result["whole"], true);
  ASSERT_EQ(result["examined"].size(), 2u);
  EXPECT_EQ(result["examined"][1]["path"], first);
  ASSERT_EQ(result["examined"][1]["files"].size(), 5u);
  EXPECT_EQ(result["examined"][1]["files"][0]["name"], "manifest.json");
}

TEST_F(VerifyCommand, DamageIsNamedByFile) {
  make_checkpoint(run_, 1);
  const std::string second = make_checkpoint(run_, 2);
  std::string content = get(second + "/weights-00001.safetensors");
  content[content.size() / 2] ^= 1;
  put(second + "/weights-00001.safetensors", content);
  const Result text = verify({run_});
  EXPECT_EQ(text.code, 65);
  EXPECT_THAT(text.output, HasSubstr("BROKEN"));
  EXPECT_THAT(text.output, HasSubstr("whole"));  // what is not damaged is told too
  EXPECT_THAT(text.error, HasSubstr("1 of 2 are broken"));
  EXPECT_THAT(text.error, HasSubstr(second + ": weights-00001.safetensors: "));
  const Result object = verify({run_, "--json"});
  EXPECT_EQ(object.code, 65);
  const json result = json::parse(object.output);
  EXPECT_EQ(result["whole"], false);
  EXPECT_EQ(result["examined"][0]["whole"], false);
  EXPECT_EQ(result["examined"][1]["whole"], true);
  for (const json& file : result["examined"][0]["files"]) {
    EXPECT_EQ(file["whole"], file["name"] != "weights-00001.safetensors");
    EXPECT_EQ(file["problem"].is_null(), file["whole"]);
  }
}

TEST_F(VerifyCommand, AManifestThatIsGoneOrNeverWas) {
  const std::string checkpoint = make_checkpoint(run_, 1);
  fs::remove(checkpoint + "/manifest.json");
  for (const std::string& path : {checkpoint, checkpoint + "/", run_}) {
    const Result gone = verify({path});
    EXPECT_EQ(gone.code, 65) << path;
    EXPECT_THAT(gone.error, HasSubstr("manifest.json")) << path;
    EXPECT_THAT(gone.error, HasSubstr("missing")) << path;
  }
  fs::create_directory(folder_.file("empty"));
  EXPECT_THAT(verify({folder_.file("empty")}).error, HasSubstr("no checkpoint"));
  EXPECT_EQ(verify({folder_.file("absent")}).code, 65);
}

TEST_F(VerifyCommand, WeightsFiles) {
  const std::string path = folder_.file("weights.safetensors");
  SafetensorsWriter writer(path, {{"a", "U8", {3}}});
  writer.write("a", bytes_of("xyz"));
  writer.commit();
  for (const std::string& from : {path, run_}) {  // a run that has ended
    const Result good = verify({from});
    EXPECT_EQ(good.code, 0) << good.error;
    // It carries a hash since, so that more can be said than that it is well formed.
    EXPECT_THAT(good.output, HasSubstr("bytes  whole"));
    EXPECT_THAT(good.output, HasSubstr("digest "));
  }
  const std::string whole = get(path);
  std::string changed = whole;
  changed.back() = 'Z';
  put(path, changed);
  const Result bad = verify({path});
  EXPECT_EQ(bad.code, 65);
  EXPECT_THAT(bad.error, HasSubstr("SHA-256"));
  changed.replace(changed.find("interlock.sha256"), 16, "somebody.element");
  put(path, changed);
  const Result foreign = verify({path});
  EXPECT_EQ(foreign.code, 0) << foreign.error;
  EXPECT_THAT(foreign.output, HasSubstr("well formed; it carries no hash"));
  EXPECT_EQ(json::parse(verify({path, "--json"}).output)["examined"][0]["files"][0]["hash"], false);
  put(path, whole);
  fs::copy(path, folder_.file("best.safetensors"));
  EXPECT_THAT(verify({run_}).output, HasSubstr("best.safetensors"));
  put(folder_.file("best.safetensors"), whole.substr(0, whole.size() - 1));
  EXPECT_EQ(verify({run_}).code, 65);
  fs::remove(folder_.file("best.safetensors"));
  put(path, get(path).substr(0, 70));
  const Result cut = verify({path});
  EXPECT_EQ(cut.code, 65);
  EXPECT_THAT(cut.error, testing::StartsWith(path + ": "));
  EXPECT_EQ(cut.error.rfind(path), 0u) << "names the file twice";
  EXPECT_EQ(verify({run_}).code, 65);
}

}  // namespace
}  // namespace interlock
