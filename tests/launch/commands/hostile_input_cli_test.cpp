// Small inputs that ask for much, and names that are no text: a sentence and an exit code within a moment, and nothing
// that a terminal would obey.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "runtime/storage/safetensors.h"
#include "tests/support/small_project.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class HostileInput : public SmallProject {
 protected:
  // LibTorch takes some 120 MiB; what a hostile number asks for must not come on top.
  static CommandOptions little() {
    CommandOptions options;
    options.most_memory = uint64_t{200} << 20;
    options.seconds = 20;
    return options;
  }
  void expect_refused(const Words& arguments, int code, const Words& words) const {
    const CommandResult result = interlock(arguments, little());
    expect_failure(result, code, words);
    EXPECT_THAT(result.all, Not(HasSubstr("std::")));
    EXPECT_THAT(result.all, Not(HasSubstr("out of memory")));
  }
  // A small model's weights whose stored config says something else.
  void write_weights(const std::string& name, const std::string& config) const {
    SafetensorsWriter writer(path(name).string(), {{"a", "U8", {1}}}, {{"interlock.config", config}});
    const std::byte one{};
    writer.write("a", {&one, 1});
    writer.commit();
  }
};

TEST_F(HostileInput, DevicesPipesAndSparseFiles) {
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  write("sparse", "");
  fs::resize_file(path("sparse"), uint64_t{20} << 30);
  for (const auto& [file, why] :
       {std::pair("/dev/zero", "not a regular file"), {"pipe", "not a regular file"}, {"sparse", "20480 MiB"}}) {
    expect_refused({"plan", file}, 64, {"cannot read the config file", why});
    expect_refused({"plan", "config.toml", "--costs", file}, 65, {"cannot read", file, why});
    expect_refused({"plan", "--check", file}, 65, {"cannot read", file, why});
  }
  fs::create_directory(path("old"));
  ASSERT_EQ(mkfifo(path("old/metrics.jsonl").c_str(), 0600), 0);
  write("old/config.toml", read("config.toml"));
  expect_refused({"report", "old"}, 65, {"metrics.jsonl", "not a regular file"});
  expect_done(interlock({"status", "old"}, little()));
  for (const auto& [file, why] : {std::pair("/dev/zero", "not a regular file"), {"pipe", "not a regular file"}})
    expect_failure(interlock({"doctor", "--hostfile", file}, little()), 65, {file, why});
}

// Opening one for reading or writing waits for somebody at its other end.
TEST_F(HostileInput, PipesInTheFolderOfARun) {
  expect_done(train_threads({"run.steps=2", "checkpoint.every=1"}));
  for (const std::string name : {"lock", "events.jsonl", "costs.json", "result.json", "manifest.json", "verdict.txt",
                                 "trace.json", "weights.safetensors"}) {
    fs::remove(path("run") / name);
    ASSERT_EQ(mkfifo((path("run") / name).c_str(), 0600), 0);
    CommandOptions options;
    options.seconds = 30;
    EXPECT_FALSE(interlock({"status", "run"}, options).timed_out) << name;
    const CommandResult resumed = interlock({"train", "run", "--resume", "--set", "run.steps=3"}, options);
    EXPECT_FALSE(resumed.timed_out) << name;
    if (name == "lock") {
      EXPECT_NE(resumed.code, 70) << resumed.all;
    } else {
      expect_failure(resumed, 73, {"run/" + name, "is a pipe"});
    }
    fs::remove(path("run") / name);
  }
}

TEST_F(HostileInput, SizesThatNoMachineHolds) {
  for (const std::string key : {"layers", "width", "heads", "feed_forward", "vocabulary", "max_length"})
    for (const std::string value : {"1000000000", "1099511627776", "9223372036854775807"})
      expect_refused({"plan", "config.toml", "--set", "model." + key + "=" + value}, 64, {"model." + key, "too large"});
}

TEST_F(HostileInput, SizesInAFolderOfHuggingFace) {
  json config = {{"architectures", {"RobertaForMaskedLM"}},
                 {"model_type", "roberta"},
                 {"vocab_size", 100},
                 {"hidden_size", 16},
                 {"num_hidden_layers", 2},
                 {"num_attention_heads", 2},
                 {"intermediate_size", 32},
                 {"max_position_embeddings", 18},
                 {"layer_norm_eps", 1e-5},
                 {"type_vocab_size", 1}};
  write_weights("hf.safetensors", "");
  fs::create_directory(path("hf"));
  fs::copy(path("hf.safetensors"), path("hf/model.safetensors"));
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                          "max_position_embeddings"}) {
    json hostile = config;
    hostile[key] = int64_t{1} << 31;
    write("hf/config.json", hostile.dump());
    expect_refused({"import", "hf", "--to", "imported"}, 65, {"config.json", key, "2147483648"});
  }
}

TEST_F(HostileInput, SizesAndDepthInAStoredConfig) {
  for (const std::string size : {"layers", "vocabulary", "width"}) {
    write_weights("w.safetensors", "[model]\n" + size + " = 1099511627776\n");
    expect_refused({"fill", "w.safetensors", "a<mask>"}, 65, {"w.safetensors", "model." + size, "too large"});
  }
  // Before memory for it is taken: 150 million parameters.
  write_weights("w.safetensors",
                "[model]\nname = \"roberta\"\nlayers = 24\nwidth = 768\nheads = 4\nfeed_forward = 3072\n"
                "max_length = 16\n[data]\nname = \"text\"\npaths = [\"corpus\"]\nsequence_length = 16\n");
  expect_refused({"fill", "w.safetensors", "a<mask>"}, 65,
                 {"w.safetensors", "parameters", "1 tensors", "belong together"});
  std::string dots = "a";
  for (int i = 0; i < 400'000; ++i) dots += ".a";
  write_weights("w.safetensors", dots + " = 1\n");
  expect_refused({"fill", "w.safetensors", "a<mask>"}, 65, {"w.safetensors", "nested"});
  EXPECT_EQ(interlock({"inspect", "w.safetensors"}).code, 0);
}

TEST_F(HostileInput, CostsWithoutMeasure) {
  json stages = json::array();
  for (int i = 0; i < 4; ++i) stages.push_back({{"forward", 1e308}, {"input_gradient", 1}, {"weight_gradient", 1}});
  write("costs.json", json{{"stages", stages}}.dump());
  expect_refused({"plan", "config.toml", "--costs", "costs.json"}, 65, {"costs.json", "stages[0].forward", "1e+308"});
  write("costs.json", std::string(10'000'000, '['));
  expect_refused({"plan", "config.toml", "--costs", "costs.json"}, 65, {"costs.json", "nested more than 256 deep"});
}

// Nothing but newline and tab of all control characters.
void expect_printable(const std::string& text) {
  for (size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const bool c1 = byte == 0xc2 && at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) < 0xa0;
    EXPECT_TRUE(byte == '\n' || byte == '\t' || (byte >= 0x20 && byte != 0x7f && !c1)) << at << " of " << text;
  }
}

TEST_F(HostileInput, ControlCharactersArePrintedEscaped) {
  write("name.toml", "[model]\nname = \"a\\u001b[31m\\u0085\\nb\"\n");
  write("rule.toml", "[learning]\nrule = \"a\\u001b]0;x\\u0007\\nb\"\n");
  write("key.toml", "[model]\n\"x\\u001b\\ny\\u009b\" = 1\n");
  write("plan", "interlock plan 1\n\x1b[31mhello\n");
  for (const Words& words : {Words{"plan", "name.toml"},
                             {"plan", "rule.toml"},
                             {"plan", "key.toml"},
                             {"plan", "--check", "plan"},
                             {"plan", "no\x1b[2Jfile.toml"},
                             {"\x1b[2Jplan"},
                             {"plan", "config.toml", "--\x1b[2Jx"},
                             {"plan", "config.toml", "--set", "a\x1b[2J=1"}}) {
    const CommandResult result = interlock(words);
    EXPECT_NE(result.code, 0);
    EXPECT_THAT(result.all, HasSubstr("\\u001b"));
    expect_printable(result.all);
  }
  EXPECT_THAT(interlock({"plan", "rule.toml"}).all, HasSubstr("\\nb\" holds a control character")) << "on one line";
  SafetensorsWriter writer(path("w.safetensors").string(), {{"a\x1b[31m\xc2\x9b", "U8", {1}}});
  const std::byte one{};
  writer.write(writer.order()[0].name, {&one, 1});
  writer.commit();
  const CommandResult listed = interlock({"inspect", "w.safetensors"});
  expect_done(listed);
  EXPECT_THAT(listed.output, HasSubstr("a?[31m\\u009b")) << "in a table ESC is one column wide";
  expect_printable(listed.output);
  EXPECT_TRUE(json::accept(interlock({"inspect", "w.safetensors", "--json"}).output));
}

// Names of files need not be UTF-8; JSON and configs are.
TEST_F(HostileInput, NamesThatAreNoUtf8) {
  const CommandResult trained =
      interlock({"tokenize", "train", "--input", "corpus", "--vocabulary", "300", "--output", "caf\xe9", "--json"});
  expect_done(trained);
  EXPECT_TRUE(json::accept(trained.output)) << trained.output;
  EXPECT_TRUE(fs::exists(path("caf\xe9/tokenizer.json")));
  expect_done(interlock({"plan", "config.toml", "--svg", "caf\xe9.svg"}));
  const CommandResult compared =
      interlock({"compare", "config.toml", "--rules", "a\xe9,local", "--output", "compared"});
  EXPECT_THAT(compared.code, testing::AnyOf(2, 64)) << compared.all;
  EXPECT_THAT(compared.all, HasSubstr("a\\xe9"));
  EXPECT_THAT(compared.all, Not(HasSubstr("json.exception")));
  expect_done(train_threads({"run.steps=1"}));
  fs::rename(path("run"), path("r\xff"));
  expect_failure(interlock({"train", "r\xff", "--resume"}), 64, {"r\\xff", "UTF-8", "another name"});
}

TEST_F(HostileInput, OutputsGoThroughLinksAndIntoDevices) {
  fs::create_symlink("real.svg", path("link.svg"));
  expect_done(interlock({"plan", "config.toml", "--svg", "link.svg"}));
  EXPECT_TRUE(fs::is_symlink(path("link.svg")));
  EXPECT_THAT(read("real.svg"), HasSubstr("<svg"));
  expect_done(interlock({"plan", "config.toml", "--svg", "/dev/null"}));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_THAT(interlock({"plan", "config.toml", "--svg", "/dev/stdout"}).output, HasSubstr("</svg>"));
  fs::create_directory(path("folder"));
  expect_failure(interlock({"plan", "config.toml", "--svg", "folder"}), 73, {"folder", "Is a directory"});
}

}  // namespace
}  // namespace interlock
