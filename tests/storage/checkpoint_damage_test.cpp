// Damage of every kind: verification names the file that is wrong, and opening never reads beyond what is there.

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <random>

#include "runtime/storage/checkpoint_manifest.h"
#include "runtime/storage/checkpoint_verify.h"
#include "tests/storage/checkpoint_support.h"

namespace interlock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

class Damage : public testing::Test {
 protected:
  std::string file(const std::string& name) const { return good_ + "/" + name; }
  // Verification refuses, naming the file and the reason.
  void expect_found(const std::string& name, const std::string& reason = "") const {
    const auto error = error_of([&] { verify_checkpoint(good_); });
    ASSERT_TRUE(error) << name << " is damaged, and nobody noticed";
    EXPECT_EQ(error->code(), ExitCode::bad_input);
    EXPECT_THAT(error->what(), HasSubstr(file(name)));
    EXPECT_THAT(error->what(), HasSubstr(reason));
  }
  void flip(const std::string& name, size_t at, size_t bit) const {
    std::fstream content(file(name), std::ios::in | std::ios::out | std::ios::binary);
    content.seekg(static_cast<std::streamoff>(at));
    const int before = content.get();
    content.seekp(static_cast<std::streamoff>(at));
    content.put(static_cast<char>(before ^ (1 << bit)));
  }
  // What can be opened is used without surprise; what cannot ends with an Error.
  void open_and_touch() const {
    error_of([&] {
      const auto checkpoint = Checkpoint::open(good_);
      for (const auto& one : checkpoint->files()) {
        for (const TensorEntry& tensor : one->tensors()) {
          for (const std::byte byte : checkpoint->bytes(tensor.name)) sum_ += std::to_integer<size_t>(byte);
        }
      }
    });
  }

  TemporaryFolder run_;
  std::string good_ = make_checkpoint(run_.path().string(), 7, "n", 300);
  std::vector<std::string> names_ = names_in(good_);
  mutable size_t sum_ = 0;
};

TEST_F(Damage, FlippedBitsAnywhere) {
  std::mt19937 random(1);
  for (const std::string& name : names_) {
    const size_t size = fs::file_size(file(name));
    for (int i = 0; i < 200; ++i) {
      const size_t at = random() % size, bit = random() % 8;
      flip(name, at, bit);
      expect_found(name);
      open_and_touch();
      flip(name, at, bit);
    }
  }
  verify_checkpoint(good_);
}

TEST_F(Damage, TruncationsAndTails) {
  for (const std::string& name : names_) {
    const std::string content = get(file(name));
    for (size_t i = 0; i < 50; ++i) {
      put(file(name), content.substr(0, content.size() * i / 50));
      expect_found(name);
      open_and_touch();
    }
    put(file(name), content + "x");
    expect_found(name);
    put(file(name), content);
  }
  verify_checkpoint(good_);
}

TEST_F(Damage, MissingFiles) {
  for (const std::string& name : names_) {
    fs::rename(file(name), run_.file("away"));
    expect_found(name, "missing");
    EXPECT_TRUE(error_of([&] { Checkpoint::open(good_); }));
    fs::rename(run_.file("away"), file(name));
  }
  verify_checkpoint(good_);
}

TEST_F(Damage, SwappedFilesAreNamedWithWhatTheyHold) {
  // Of one size, or the size would already tell.
  put(run_.file("a"), get(file("weights-00000.safetensors")));
  ASSERT_EQ(fs::file_size(file("weights-00000.safetensors")), fs::file_size(file("weights-00001.safetensors")));
  fs::rename(file("weights-00001.safetensors"), file("weights-00000.safetensors"));
  fs::rename(run_.file("a"), file("weights-00001.safetensors"));
  expect_found("weights-00000.safetensors", "it holds what weights-00001.safetensors should hold");
}

TEST_F(Damage, FilesOfAnotherStep) {
  const std::string other = make_checkpoint(run_.path().string(), 8, "n", 300);
  fs::copy_file(other + "/optimizer-00001.safetensors", file("optimizer-00001.safetensors"),
                fs::copy_options::overwrite_existing);
  expect_found("optimizer-00001.safetensors", "SHA-256");
}

TEST_F(Damage, SurplusFiles) {
  for (const std::string name : {"weights-00002.safetensors", ".hidden", "notes.txt", "z\n"}) {
    put(file(name), "x");
    expect_found(name, "does not belong");
    fs::remove(file(name));
  }
  fs::create_directory(file("folder"));
  expect_found("folder", "does not belong");
  fs::remove(file("folder"));
  verify_checkpoint(good_);
}

TEST_F(Damage, AStepThatIsNotTheFoldersName) {
  const std::string wrong = checkpoints_folder(run_.path().string()) + "/" + checkpoint_name(9);
  fs::rename(good_, wrong);
  for (const std::string& path : {wrong, wrong + "/", wrong + "/."}) {
    const auto error = error_of([&] { verify_checkpoint(path); });
    ASSERT_TRUE(error) << path;
    EXPECT_THAT(error->what(), HasSubstr("it is of step 7, and the folder is called step-00000009"));
  }
  EXPECT_TRUE(error_of([&] { Checkpoint::open(wrong); }));
  // A copy elsewhere may be called as people like.
  fs::rename(wrong, run_.file("my-best"));
  verify_checkpoint(run_.file("my-best"));
  EXPECT_TRUE(is_checkpoint(run_.file("my-best")));
}

TEST_F(Damage, LinksPipesAndFolders) {
  for (const std::string& name : names_) {
    const std::string content = get(file(name)), away = run_.file("away");
    fs::rename(file(name), away);
    fs::create_symlink(away, file(name));
    expect_found(name, "symbolic link");
    EXPECT_TRUE(error_of([&] { Checkpoint::open(good_); })) << name;
    fs::remove(file(name));
    ASSERT_EQ(::mkfifo(file(name).c_str(), 0600), 0);
    expect_found(name, "regular file");  // and does not wait for a writer
    EXPECT_TRUE(error_of([&] { Checkpoint::open(good_); })) << name;
    fs::remove(file(name));
    fs::create_directory(file(name));
    expect_found(name);
    EXPECT_TRUE(error_of([&] { Checkpoint::open(good_); })) << name;
    fs::remove(file(name));
    fs::rename(away, file(name));
  }
  verify_checkpoint(good_);
}

// Whoever writes a manifest with true hashes can still not make us read elsewhere or trust what is no tensor file.
TEST_F(Damage, HashesThatFitAreNotEnough) {
  const std::string staging = staging_folder(run_.path().string(), 3, "n");
  auto files = write_checkpoint_files(staging, {part_of(3, "a.safetensors", {"same"}, 10)});
  files.push_back(write_checkpoint_files(staging, {part_of(3, "b.safetensors", {"same"}, 10)})[0]);
  publish_checkpoint(run_.path().string(), staging, manifest_of(3, files));
  const auto error = error_of([&] { verify_checkpoint(checkpoints_folder(run_.path().string()) + "/step-00000003"); });
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("the tensor same stands in"));
}

TEST_F(Damage, EveryFileGetsItsVerdict) {
  put(file("weights-00000.safetensors"), "x");
  fs::remove(file("optimizer-00001.safetensors"));
  put(file("stranger"), "12345");
  std::vector<std::string> read;
  const auto findings = examine_checkpoint(good_, [&](const CheckpointFile& one) { read.push_back(one.name); });
  ASSERT_EQ(findings.size(), 6u);
  EXPECT_EQ(findings[0].name, "manifest.json");
  EXPECT_EQ(findings[0].bytes, fs::file_size(file("manifest.json")));
  std::vector<std::string> broken;
  for (const auto& one : findings) {
    if (!one.problem.empty()) broken.push_back(one.name);
  }
  EXPECT_THAT(broken, ElementsAre("optimizer-00001.safetensors", "weights-00000.safetensors", "stranger"));
  EXPECT_EQ(findings[5].bytes, 5u);
  EXPECT_EQ(read.size(), 4u);
}

}  // namespace
}  // namespace interlock
