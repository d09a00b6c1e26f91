// The way of a checkpoint: written by several, published, listed, read, replaced, retained.

#include "runtime/storage/checkpoint.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "runtime/storage/atomic_file.h"
#include "runtime/storage/file_digest.h"
#include "tests/storage/checkpoint_support.h"

namespace interlock {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class CheckpointTest : public testing::Test {
 protected:
  std::string folder(int64_t step) const { return checkpoints_folder(run_) + "/" + checkpoint_name(step); }
  std::vector<std::string> entries() const { return names_in(checkpoints_folder(run_)); }

  TemporaryFolder temporary_;
  std::string run_ = temporary_.path().string();
};

TEST_F(CheckpointTest, Names) {
  EXPECT_EQ(checkpoint_name(0), "step-00000000");
  EXPECT_EQ(checkpoint_name(100), "step-00000100");
  EXPECT_EQ(checkpoint_name(12345678), "step-12345678");
  EXPECT_EQ(checkpoint_name(123456789012), "step-123456789012");
  EXPECT_EQ(checkpoints_folder("run"), "run/checkpoints");
}

TEST_F(CheckpointTest, HoldsWhatWasWritten) {
  const std::string made = make_checkpoint(run_, 7);
  EXPECT_EQ(made, folder(7));
  EXPECT_THAT(entries(), ElementsAre("step-00000007"));
  EXPECT_THAT(names_in(made), ElementsAre("manifest.json", "optimizer-00000.safetensors", "optimizer-00001.safetensors",
                                          "weights-00000.safetensors", "weights-00001.safetensors"));
  expect_whole(made, 7);
  EXPECT_TRUE(is_checkpoint(made));
  EXPECT_FALSE(is_checkpoint(run_));

  const auto checkpoint = Checkpoint::open(made);
  EXPECT_EQ(checkpoint->folder(), made);
  EXPECT_EQ(checkpoint->manifest().config, "[run]\nsteps = 100\n");
  EXPECT_EQ(checkpoint->manifest().state.at("samples"), "224");
  EXPECT_EQ(checkpoint->find("absent"), nullptr);
  EXPECT_TRUE(error_of([&] { checkpoint->bytes("absent"); }));
  for (size_t i = 0; i < 4; ++i) {
    const CheckpointFile& file = checkpoint->manifest().files[i];
    EXPECT_EQ(checkpoint->files()[i]->path(), made + "/" + file.name);  // both by name
    // The hash made while writing against one of the file as it lies there, by another way of reading.
    EXPECT_EQ(file.sha256, file_digest(made + "/" + file.name).sha256);
    EXPECT_EQ(file.bytes, std::filesystem::file_size(made + "/" + file.name));
  }
}

TEST_F(CheckpointTest, EmptyPartsAndTensors) {
  const std::string staging = staging_folder(run_, 1, "n");
  const auto files =
      write_checkpoint_files(staging, {{"none.safetensors", {}, {}}, part_of(1, "a.safetensors", {"a"}, 0)});
  publish_checkpoint(run_, staging, {1, "", {}, files});
  verify_checkpoint(folder(1));
  const auto checkpoint = Checkpoint::open(folder(1));
  ASSERT_NE(checkpoint->find("a"), nullptr);
  EXPECT_TRUE(checkpoint->bytes("a").empty());
}

TEST_F(CheckpointTest, ListsNewestFirstAndNothingElse) {
  EXPECT_THAT(list_checkpoints(run_), IsEmpty());
  for (const int64_t step : {9, 100, 20, 100'000'000}) make_checkpoint(run_, step);
  const std::string all = checkpoints_folder(run_);
  for (const char* other :
       {"step-7", "step-0000000x", "step-000000007", ".staging-step-00000400-n", "step-00000500.old"}) {
    std::filesystem::create_directory(all + "/" + other);
  }
  put(all + "/step-00000600", "a file");
  std::filesystem::create_directory_symlink(folder(9), all + "/step-00000700");
  EXPECT_THAT(no_checkpoint_folders(run_), ElementsAre(folder(700), folder(600)));
  EXPECT_THAT(list_checkpoints(run_), ElementsAre(folder(100'000'000), folder(100), folder(20), folder(9)));
}

// Whoever takes a folder that cannot be looked at for one without checkpoints begins anew over them.
TEST_F(CheckpointTest, WhatCannotBeLookedAtIsNotEmpty) {
  const auto refused = [&](const std::string& words) {
    for (const auto& look :
         std::vector<std::function<void()>>{[&] { list_checkpoints(run_); }, [&] { no_checkpoint_folders(run_); },
                                            [&] { newest_whole_checkpoint(run_, {}); }}) {
      const auto error = error_of(look);
      ASSERT_TRUE(error) << words;
      EXPECT_EQ(error->code(), ExitCode::bad_input);
      EXPECT_THAT(error->what(), HasSubstr(checkpoints_folder(run_)));
      EXPECT_THAT(error->what(), HasSubstr(words));
    }
  };
  put(checkpoints_folder(run_), "a file");
  refused("Not a directory");
  std::filesystem::remove(checkpoints_folder(run_));
  std::filesystem::create_symlink("/nowhere", checkpoints_folder(run_));
  refused("No such file");
  std::filesystem::remove(checkpoints_folder(run_));
  std::filesystem::create_symlink("checkpoints", checkpoints_folder(run_));
  refused("symbolic links");
  std::filesystem::remove(checkpoints_folder(run_));
  EXPECT_THAT(list_checkpoints(run_), IsEmpty());
}

TEST_F(CheckpointTest, ReplacesACheckpointOfTheSameStep) {
  make_checkpoint(run_, 5);
  const auto old = Checkpoint::open(folder(5));
  const std::string staging = staging_folder(run_, 5, "n");
  auto files = write_checkpoint_files(staging, {part_of(5, "other.safetensors", {"only"}, 10)});
  publish_checkpoint(run_, staging, manifest_of(5, files));
  EXPECT_THAT(entries(), ElementsAre("step-00000005"));
  EXPECT_THAT(names_in(folder(5)), ElementsAre("manifest.json", "other.safetensors"));
  verify_checkpoint(folder(5));
  // Who has the old one open keeps it.
  EXPECT_TRUE(std::ranges::equal(old->bytes("layer.0.weight"), bytes_of(content_of(5, "layer.0.weight", 500))));
}

TEST_F(CheckpointTest, TakesItsNameFromWhateverHasIt) {
  std::filesystem::create_directories(folder(1));  // an empty folder
  std::filesystem::create_directories(folder(2) + "/full");
  put(folder(3), "a file");
  std::filesystem::create_symlink("/nowhere", folder(4));
  for (const int64_t step : {1, 2, 3, 4}) expect_whole(make_checkpoint(run_, step), step);
  // None of them was a checkpoint that could be let go: each stays under another name.
  EXPECT_EQ(entries().size(), 8u);
  for (const int64_t step : {1, 2, 3, 4}) EXPECT_THAT(entries(), Contains("damaged-" + checkpoint_name(step)));
}

TEST_F(CheckpointTest, RemainsOfAFailedWriterDoNotGetIn) {
  const std::string staging = staging_folder(run_, 3, "n");
  std::filesystem::create_directories(staging);
  put(staging + "/weights-00000.safetensors.abc.tmp", "half");
  put(staging + "/manifest.json", "old");
  std::filesystem::create_directory(staging + "/folder");
  expect_whole(make_checkpoint(run_, 3), 3);
}

TEST_F(CheckpointTest, PublishRefusesWhatIsNotThere) {
  const std::string staging = staging_folder(run_, 3, "n");
  const auto files = write_checkpoint_files(staging, parts_of(3, 0));
  const auto refused = [&](std::vector<CheckpointFile> listed, const std::string& words) {
    const auto error = error_of([&] { publish_checkpoint(run_, staging, manifest_of(3, std::move(listed))); });
    ASSERT_TRUE(error) << words;
    EXPECT_EQ(error->code(), ExitCode::cannot_write);
    EXPECT_THAT(error->what(), HasSubstr(words));
    EXPECT_THAT(list_checkpoints(run_), IsEmpty());
  };
  const std::string hash(64, 'a');
  refused({files[0], {"absent.safetensors", 3, hash}}, "absent.safetensors: it was written, and is gone");
  refused({files[0], {files[1].name, files[1].bytes + 1, hash}}, "optimizer-00000.safetensors");
  refused({files[0], files[0]}, "twice");
  refused({{"../weights.safetensors", 3, hash}}, "not a plain");
  const auto text = error_of([&] { publish_checkpoint(run_, staging, {3, "\xff", {}, files}); });
  ASSERT_TRUE(text);
  EXPECT_THAT(text->what(), HasSubstr("UTF-8"));
  publish_checkpoint(run_, staging, manifest_of(3, files));  // nothing was lost by trying
  verify_checkpoint(folder(3));
}

TEST_F(CheckpointTest, ADamagedOneIsPutAsideWhenItsStepComesAgain) {
  make_checkpoint(run_, 3);
  const auto publish_again = [&] {
    const std::string staging = staging_folder(run_, 3, "n");
    return publish_checkpoint(run_, staging, manifest_of(3, write_checkpoint_files(staging, parts_of(3, 0))));
  };
  EXPECT_EQ(publish_again(), "");  // a whole one has nothing to rescue
  EXPECT_THAT(entries(), ElementsAre("step-00000003"));
  for (const char* aside : {"damaged-step-00000003", "damaged-step-00000003-2"}) {
    std::fstream(folder(3) + "/weights-00000.safetensors", std::ios::in | std::ios::out | std::ios::binary).put('!');
    EXPECT_THAT(publish_again(), AllOf(HasSubstr(std::string(aside) + ", which was step-00000003: "),
                                       HasSubstr("step-00000003/weights"), HasSubstr("weights-00000.safetensors")));
    EXPECT_THAT(entries(), Contains(aside));
    verify_checkpoint(folder(3));
  }
  retain_checkpoints(run_, 1, "n", 3);  // nothing takes them for checkpoints or for leftovers
  EXPECT_THAT(entries(), ElementsAre("damaged-step-00000003", "damaged-step-00000003-2", "step-00000003"));
}

TEST_F(CheckpointTest, RetainsTheNewest) {
  for (int64_t step = 1; step <= 6; ++step) make_checkpoint(run_, step);
  retain_checkpoints(run_, 3, "n", 6);
  EXPECT_THAT(entries(), ElementsAre("step-00000004", "step-00000005", "step-00000006"));
  retain_checkpoints(run_, 5, "n", 6);
  EXPECT_EQ(entries().size(), 3u);
  for (int64_t step = 4; step <= 6; ++step) expect_whole(folder(step), step);
  retain_checkpoints(run_, 1, "n", 6);
  EXPECT_THAT(entries(), ElementsAre("step-00000006"));
}

TEST_F(CheckpointTest, ADamagedOneIsNotCountedAmongTheKept) {
  for (int64_t step = 1; step <= 5; ++step) make_checkpoint(run_, step);
  std::filesystem::remove(folder(4) + "/weights-00000.safetensors");
  put(folder(3) + "/manifest.json", "{}");
  retain_checkpoints(run_, 2, "n", 5);
  EXPECT_THAT(entries(), ElementsAre("step-00000002", "step-00000003", "step-00000004", "step-00000005"));
}

// Something of them may be rescued: a tensor that is whole, a file that only lost its name.
TEST_F(CheckpointTest, WhatDoesNotVerifyIsNeverRemoved) {
  for (int64_t step = 1; step <= 6; ++step) make_checkpoint(run_, step);
  std::filesystem::remove(folder(1) + "/manifest.json");
  put(folder(2) + "/notes", "a file too many");
  std::string content = get(folder(3) + "/weights-00001.safetensors");
  content.back() = static_cast<char>(content.back() ^ 1);  // of the right size
  put(folder(3) + "/weights-00001.safetensors", content);
  const auto before = names_in(folder(3));
  for (int times = 0; times < 2; ++times) {
    EXPECT_THAT(retain_checkpoints(run_, 1, "n", 6),
                ElementsAre(HasSubstr(folder(3) + "/weights-00001.safetensors"), HasSubstr(folder(2) + "/notes"),
                            HasSubstr(folder(1) + "/manifest.json")));
    EXPECT_THAT(entries(), ElementsAre("step-00000001", "step-00000002", "step-00000003", "step-00000006"));
  }
  EXPECT_EQ(names_in(folder(3)), before);
}

// A newer one whose bytes have changed and whose size has not: the run went on from before it, and what it writes now
// must not make room for it.
TEST_F(CheckpointTest, TheOneJustPublishedIsKeptBesideDamagedNewerOnes) {
  make_checkpoint(run_, 8);
  std::string content = get(folder(8) + "/weights-00001.safetensors");
  content.back() = static_cast<char>(content.back() ^ 1);
  put(folder(8) + "/weights-00001.safetensors", content);
  for (int64_t step = 3; step <= 5; ++step) {
    make_checkpoint(run_, step);
    retain_checkpoints(run_, 1, "n", step);
    EXPECT_THAT(entries(), ElementsAre(checkpoint_name(step), "step-00000008"));
    EXPECT_EQ(newest_whole_checkpoint(run_, {}), folder(step));
  }
}

TEST_F(CheckpointTest, RetainTakesAwayLeftovers) {
  make_checkpoint(run_, 1);
  const std::string all = checkpoints_folder(run_);
  for (const char* name : {".staging-step-00000002-dead", ".staging-step-00000003-mine", ".trash-step-00000001-abc",
                           ".staging-step-00000004-not-mine", "notes"}) {
    std::filesystem::create_directory(all + "/" + name);
    put(all + "/" + name + "/file", "x");
  }
  retain_checkpoints(run_, 2, "mine", 1);
  EXPECT_THAT(entries(), ElementsAre(".staging-step-00000003-mine", "notes", "step-00000001"));
  discard_staging(staging_folder(run_, 3, "mine"));
  discard_staging(staging_folder(run_, 3, "mine"));
  EXPECT_THAT(entries(), ElementsAre("notes", "step-00000001"));
}

TEST_F(CheckpointTest, AStartTakesAwayEveryLeftover) {
  remove_leftovers(run_);  // nothing is there yet
  make_checkpoint(run_, 1);
  make_checkpoint(run_, 2);
  std::filesystem::remove(folder(2) + "/manifest.json");
  const std::string all = checkpoints_folder(run_);
  for (const char* name : {".staging-step-00000002-dead", ".trash-step-00000001-abc", ".staging-mine", "notes"}) {
    std::filesystem::create_directory(all + "/" + name);
    put(all + "/" + name + "/file", "x");
  }
  remove_leftovers(run_);
  EXPECT_THAT(entries(), ElementsAre(".staging-mine", "notes", "step-00000001", "step-00000002"));
}

TEST_F(CheckpointTest, ACancelledWriterEndsAndLeavesNoHalfFile) {
  const std::string staging = staging_folder(run_, 3, "n");
  std::atomic<bool> cancelled{true};
  const auto error = error_of([&] { write_checkpoint_files(staging, parts_of(3, 0), &cancelled); });
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("the run ends"));
  EXPECT_THAT(names_in(staging), IsEmpty());
  cancelled = false;
  EXPECT_EQ(write_checkpoint_files(staging, parts_of(3, 0), &cancelled).size(), 2u);
}

TEST_F(CheckpointTest, NewestWholeSkipsDamagedOnesAndSaysSo) {
  std::vector<std::string> told;
  const auto newest = [&] {
    told.clear();
    return newest_whole_checkpoint(run_, [&](const std::string& reason) { told.push_back(reason); });
  };
  EXPECT_EQ(newest(), std::nullopt);
  for (int64_t step = 1; step <= 4; ++step) make_checkpoint(run_, step);
  EXPECT_EQ(newest(), folder(4));
  EXPECT_EQ(newest_whole_checkpoint(run_, {}, 3), folder(4));
  EXPECT_EQ(newest_whole_checkpoint(run_, {}, 4), std::nullopt);
  EXPECT_THAT(told, IsEmpty());
  std::filesystem::remove(folder(4) + "/manifest.json");
  std::string content = get(folder(3) + "/weights-00001.safetensors");
  content.back() = static_cast<char>(content.back() ^ 1);
  put(folder(3) + "/weights-00001.safetensors", content);
  EXPECT_EQ(newest(), folder(2));
  EXPECT_THAT(told, ElementsAre(HasSubstr(folder(4) + "/manifest.json: it is missing"),
                                HasSubstr(folder(3) + "/weights-00001.safetensors: ")));
  for (const int64_t step : {1, 2}) std::filesystem::remove_all(folder(step) + "/weights-00000.safetensors");
  EXPECT_EQ(newest(), std::nullopt);
  EXPECT_EQ(told.size(), 4u);
  EXPECT_EQ(newest_whole_checkpoint(run_, {}), std::nullopt);
}

// Several processes write into one staging folder at once, as the ranks of a run do.
TEST_F(CheckpointTest, ProcessesWriteTheirPartsAtOnce) {
  constexpr int ranks = 4;
  const std::string staging = staging_folder(run_, 1, "n");
  std::vector<pid_t> children;
  for (int rank = 0; rank < ranks; ++rank) {
    children.push_back(::fork());
    if (children.back() != 0) continue;
    std::string lines;
    for (const CheckpointFile& file : write_checkpoint_files(staging, parts_of(1, rank, 100'000))) {
      lines += message(file.name, ' ', file.bytes, ' ', file.sha256, '\n');
    }
    write_atomically(temporary_.file(message("rank", rank)), lines);
    ::_exit(0);
  }
  std::vector<CheckpointFile> files;
  for (int rank = 0; rank < ranks; ++rank) {
    int status = 0;
    ASSERT_EQ(::waitpid(children[static_cast<size_t>(rank)], &status, 0), children[static_cast<size_t>(rank)]);
    ASSERT_EQ(status, 0);
    std::ifstream lines(temporary_.file(message("rank", rank)));
    for (CheckpointFile file; lines >> file.name >> file.bytes >> file.sha256;) files.push_back(file);
  }
  ASSERT_EQ(files.size(), 8u);
  publish_checkpoint(run_, staging, manifest_of(1, files));
  verify_checkpoint(folder(1));
  EXPECT_NE(Checkpoint::open(folder(1))->find("layer.3.bias"), nullptr);
}

// Two runs on one folder are kept apart by a lock; if they were not, no checkpoint may become a mixture.
TEST_F(CheckpointTest, TwoWritersLeaveWholeCheckpoints) {
  const auto writer = [&](const std::string& nonce) {
    for (int i = 0; i < 20; ++i) make_checkpoint(run_, 1 + i % 3, nonce);
  };
  std::thread first(writer, "a"), second(writer, "b");
  first.join();
  second.join();
  EXPECT_THAT(entries(), ElementsAre("step-00000001", "step-00000002", "step-00000003"));
  for (int64_t step = 1; step <= 3; ++step) expect_whole(folder(step), step);
}

}  // namespace
}  // namespace interlock
