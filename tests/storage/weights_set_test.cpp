// Weights wherever they lie: the same set, and the same digest, from a file, a run, a checkpoint.

#include "runtime/storage/weights_set.h"

#include <gmock/gmock.h>

#include "runtime/storage/content_hash.h"
#include "runtime/storage/file_digest.h"
#include "runtime/storage/weights.h"
#include "runtime/storage/weights_compare.h"
#include "tests/storage/checkpoint_support.h"

namespace interlock {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class WeightsSetTest : public testing::Test {
 protected:
  // What parts_of(step, 0) and parts_of(step, 1) hold of weights, in one file.
  std::string one_file(const std::string& path, int64_t step,
                       std::map<std::string, std::string> metadata = {{"interlock.config", "of the file"}}) const {
    std::vector<TensorEntry> entries;
    for (const std::string name : {"layer.0.weight", "layer.0.bias", "layer.1.weight", "layer.1.bias"}) {
      entries.push_back({name, "U8", {500}});
    }
    SafetensorsWriter writer(path, entries, std::move(metadata));
    for (const TensorEntry& entry : writer.order()) {
      writer.write(entry.name, bytes_of(content_of(step, entry.name, 500)));
    }
    writer.commit();
    return path;
  }
  static void expect_refused(const std::string& path, const std::string& words) {
    const auto error = error_of([&] { WeightsSet::open(path); });
    ASSERT_TRUE(error) << path;
    EXPECT_EQ(error->code(), ExitCode::bad_input);
    EXPECT_THAT(error->what(), HasSubstr(path));
    EXPECT_THAT(error->what(), HasSubstr(words));
  }

  TemporaryFolder folder_;
  std::string run_ = folder_.path().string();
};

// Every bit of the file, the header's too: a changed number in the stored config is another model.
TEST_F(WeightsSetTest, AFlippedBitAnywhereInAFileIsRefused) {
  const std::string path = one_file(folder_.file("w.safetensors"), 7);
  const std::string whole = get(path);
  int read = 0;
  for (size_t at = 0; at < whole.size(); at += 7) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    put(path, changed);
    const auto error = error_of([&] { WeightsSet::open(path); });
    if (error) continue;
    // What names the hash cannot be told from a file without one, where another name is legal.
    const std::string around = whole.substr(at < 20 ? 0 : at - 20, 40);
    EXPECT_NE(around.find("interlock.sha256"), std::string::npos) << at << " " << around;
    ++read;
  }
  EXPECT_LE(read, 4);
  std::string last = whole;
  last.back() = static_cast<char>(last.back() ^ 1);
  put(path, last);
  expect_refused(path, "SHA-256 in its metadata differs");
}

TEST_F(WeightsSetTest, AForeignFileWithoutAHashIsTaken) {
  const std::string path = one_file(folder_.file("w.safetensors"), 7);
  const std::string digest = weights_digest(*WeightsSet::open(path));
  std::string text = get(path);
  const size_t at = text.find("interlock.sha256");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 16, "somebody.element");
  put(path, text);
  EXPECT_EQ(examine_content(*SafetensorsFile::open(path)), Content::no_hash);
  EXPECT_EQ(weights_digest(*WeightsSet::open(path)), digest) << "the digest is of names, shapes and values";
}

// As sha256sum gives it of the file with 64 zeros in the place of the digits.
TEST_F(WeightsSetTest, TheHashIsThatOfTheFileWithZerosInItsPlace) {
  const std::string path = one_file(folder_.file("w.safetensors"), 7, {{"interlock.sha256", "of another file"}});
  const std::string carried = SafetensorsFile::open(path)->metadata().at("interlock.sha256");
  std::string text = get(path);
  text.replace(text.find(carried), 64, std::string(64, '0'));
  put(folder_.file("zeros"), text);
  EXPECT_EQ(file_digest(folder_.file("zeros")).sha256, carried);
  EXPECT_EQ(examine_content(*SafetensorsFile::open(path)), Content::whole);
}

TEST_F(WeightsSetTest, AFileAndACheckpointAreTheSameSet) {
  const auto file = WeightsSet::open(one_file(folder_.file("w.safetensors"), 7));
  const auto checkpoint = WeightsSet::open(make_checkpoint(run_, 7));
  ASSERT_EQ(checkpoint->tensors().size(), 4u);  // and nothing of the optimizer
  EXPECT_EQ(checkpoint->tensors()[0].name, "layer.0.bias");
  EXPECT_EQ(checkpoint->tensors()[3].name, "layer.1.weight");
  for (const TensorEntry& tensor : checkpoint->tensors()) {
    EXPECT_TRUE(std::ranges::equal(checkpoint->bytes(tensor), bytes_of(content_of(7, tensor.name, 500))));
    EXPECT_TRUE(std::ranges::equal(checkpoint->bytes(TensorEntry(tensor)), file->bytes(tensor)));  // a copy will do
  }
  EXPECT_EQ(checkpoint->find("first.layer.0.weight"), nullptr);
  EXPECT_EQ(checkpoint->find("layer.0.bias"), &checkpoint->tensors()[0]);
  EXPECT_EQ(weights_digest(*checkpoint), weights_digest(*file));
  EXPECT_EQ(weights_digest(*file), weights_digest(*SafetensorsFile::open(folder_.file("w.safetensors"))));
  EXPECT_NE(weights_digest(*checkpoint), weights_digest(*WeightsSet::open(make_checkpoint(run_, 8))));
  EXPECT_EQ(compare_weights(*checkpoint, *file).largest, 0);
  EXPECT_GT(compare_weights(*checkpoint, *WeightsSet::open(make_checkpoint(run_, 8))).largest, 0);
  EXPECT_EQ(file->metadata().at("interlock.config"), "of the file");
  EXPECT_EQ(checkpoint->metadata().at("interlock.config"), "[run]\nsteps = 100\n");
}

TEST_F(WeightsSetTest, ARunHasItsWeightsOrItsNewestWholeCheckpoint) {
  expect_refused(run_, "neither weights.safetensors nor checkpoints");
  const std::string first = make_checkpoint(run_, 1), second = make_checkpoint(run_, 2);
  const auto newest = WeightsSet::open(run_);
  EXPECT_EQ(newest->path(), second);
  EXPECT_EQ(newest->folder(), run_);
  EXPECT_EQ(weights_digest(*newest), weights_digest(*WeightsSet::open(second)));
  put(second + "/optimizer-00000.safetensors", "x");  // then the whole checkpoint is not whole
  EXPECT_EQ(WeightsSet::open(run_)->path(), first);
  fs::remove(first + "/manifest.json");
  expect_refused(run_, "none of its checkpoints is whole");
  const std::string file = one_file(run_ + "/weights.safetensors", 3);
  const auto last = WeightsSet::open(run_);
  EXPECT_EQ(last->path(), file);
  EXPECT_EQ(last->folder(), run_);
}

TEST_F(WeightsSetTest, ARunThatWasStoppedHasTheLaterOfFileAndCheckpoint) {
  const auto file_of_step = [&](const std::string& step) {
    return one_file(run_ + "/weights.safetensors", 2, {{"interlock.step", step}});
  };
  const std::string before = make_checkpoint(run_, 1), same = make_checkpoint(run_, 2);
  const std::string file = file_of_step("2");
  EXPECT_EQ(WeightsSet::open(run_)->path(), file);
  const std::string later = make_checkpoint(run_, 4), broken = make_checkpoint(run_, 6);
  fs::remove(broken + "/manifest.json");
  const auto newest = WeightsSet::open(run_);
  EXPECT_EQ(newest->path(), later);
  EXPECT_EQ(newest->folder(), run_);
  EXPECT_EQ(newest->metadata().at("interlock.step"), "4");
  fs::remove(later + "/manifest.json");
  EXPECT_EQ(WeightsSet::open(run_)->path(), file);
  make_checkpoint(run_, 4);
  file_of_step("5");
  EXPECT_EQ(WeightsSet::open(run_)->path(), file);
  for (const char* untold : {"", "-1", "four", "4 "}) {  // no step: the file, as nobody knows better
    file_of_step(untold);
    EXPECT_EQ(WeightsSet::open(run_)->path(), file) << untold;
  }
}

TEST_F(WeightsSetTest, FoldersWhereATokenizerMayLie) {
  one_file(folder_.file("w.safetensors"), 1);
  EXPECT_EQ(WeightsSet::open(folder_.file("w.safetensors"))->folder(), run_);
  const std::string checkpoint = make_checkpoint(run_, 1);
  EXPECT_EQ(WeightsSet::open(checkpoint)->folder(), checkpoint);
  fs::current_path(run_);
  EXPECT_EQ(WeightsSet::open("w.safetensors")->folder(), ".");
}

TEST_F(WeightsSetTest, DamagedWeightsAreNotUsed) {
  const std::string checkpoint = make_checkpoint(run_, 1);
  const auto flip_last = [&](const std::string& name) {
    std::string content = get(checkpoint + "/" + name);
    content.back() = static_cast<char>(content.back() ^ 1);
    put(checkpoint + "/" + name, content);
  };
  flip_last("optimizer-00000.safetensors");  // not part of the set
  WeightsSet::open(checkpoint);
  flip_last("weights-00001.safetensors");
  expect_refused(checkpoint, "weights-00001.safetensors: its content is not what was written");
}

TEST_F(WeightsSetTest, SaysWhatAPathIs) {
  expect_refused(folder_.file("absent"), "no weights file, run folder or checkpoint at");
  put(folder_.file("text"), "hello, this is no weights file");
  expect_refused(folder_.file("text"), "safetensors");
  const std::string staging = staging_folder(run_, 4, "n");
  const auto files = write_checkpoint_files(staging, {part_of(4, "optimizer-00000.safetensors", {"a"}, 1)});
  publish_checkpoint(run_, staging, manifest_of(4, files));
  expect_refused(checkpoints_folder(run_) + "/step-00000004", "no file weights-*.safetensors");
}

TEST_F(WeightsSetTest, OneNameInTwoFilesIsRefused) {
  const auto file = SafetensorsFile::open(one_file(folder_.file("a"), 1));
  const auto other = SafetensorsFile::open(one_file(folder_.file("b"), 1));
  const auto error = error_of([&] { WeightsSet({file, other}, run_, {}); });
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("the tensor layer.0.bias stands in"));
}

}  // namespace
}  // namespace interlock
