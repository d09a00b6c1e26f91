// Tensors in pieces: found by their names, refused by name when they do not cover the tensor once.

#include "runtime/storage/tensor_pieces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

#include "tests/storage/support.h"

namespace interlock {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A tensor of bytes, so that elements are easy to count.
struct Stored {
  std::string name;
  std::vector<int64_t> shape;
};

class TensorPieces : public testing::Test {
 protected:
  // A checkpoint of one file for each list of tensors.
  std::shared_ptr<const Checkpoint> checkpoint_of(const std::vector<std::vector<Stored>>& files) {
    const std::string run = folder_.file("run");
    std::vector<CheckpointPart> parts;
    for (const std::vector<Stored>& file : files) {
      CheckpointPart part{"optimizer-" + std::to_string(parts.size()) + ".safetensors", {}, {}};
      for (const Stored& tensor : file) {
        int64_t size = 1;
        for (const int64_t dimension : tensor.shape) size *= dimension;
        const auto content = std::make_shared<std::string>(static_cast<size_t>(size), 'x');
        part.tensors.push_back({{tensor.name, "U8", tensor.shape}, content, bytes_of(*content)});
      }
      parts.push_back(std::move(part));
    }
    const std::string staging = staging_folder(run, 1, "n");
    publish_checkpoint(run, staging, {1, "", {}, write_checkpoint_files(staging, parts)});
    return Checkpoint::open(checkpoints_folder(run) + "/" + checkpoint_name(1));
  }

  using Found = std::tuple<std::string, int64_t, int64_t>;
  std::vector<Found> found(const std::vector<std::vector<Stored>>& files) {
    std::vector<Found> pieces;
    const auto checkpoint = checkpoint_of(files);
    for (const TensorPiece& piece : pieces_of(*checkpoint, "a.w.mean", {2, 5}))
      pieces.emplace_back(piece.entry->name, piece.begin, piece.end);
    return pieces;
  }

  template <class Matcher>
  void expect_refused(const std::vector<std::vector<Stored>>& files, const Matcher& matcher) {
    const auto error = error_of([&] { found(files); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ExitCode::bad_input);
    EXPECT_THAT(error->what(), AllOf(HasSubstr("step-00000001"), HasSubstr("a.w.mean"), matcher));
  }

  TemporaryFolder folder_;
};

TEST_F(TensorPieces, OfSeveralFilesAreFoundInOrder) {
  EXPECT_EQ(piece_name("a.w.mean", 3, 10), "a.w.mean[3:10]");
  EXPECT_THAT(found({{{"a.w.mean[3:10]", {7}}}, {{"a.w.mean[0:2]", {2}}, {"a.w.mean[2:3]", {1}}}}),
              ElementsAre(Found{"a.w.mean[0:2]", 0, 2}, Found{"a.w.mean[2:3]", 2, 3}, Found{"a.w.mean[3:10]", 3, 10}));
}

TEST_F(TensorPieces, AWholeTensorIsOnePieceAndAnAbsentOneNone) {
  EXPECT_THAT(found({{{"a.w.mean", {2, 5}}}}), ElementsAre(Found{"a.w.mean", 0, 10}));
  EXPECT_THAT(
      found({{{"a.w.means", {2, 5}}, {"a.w.means[0:10]", {10}}, {"a.w.mea", {10}}, {"b.a.w.mean[0:10]", {10}}}}),
      IsEmpty());
}

TEST_F(TensorPieces, AHoleIsNamed) {
  expect_refused({{{"a.w.mean[0:2]", {2}}, {"a.w.mean[6:10]", {4}}}}, HasSubstr("[2, 6)"));
  expect_refused({{{"a.w.mean[1:10]", {9}}}}, HasSubstr("[0, 1)"));
  expect_refused({{{"a.w.mean[0:9]", {9}}}}, HasSubstr("[9, 10)"));
}

TEST_F(TensorPieces, WhatStandsThereTwiceIsNamed) {
  expect_refused({{{"a.w.mean[0:6]", {6}}}, {{"a.w.mean[4:10]", {6}}}},
                 AllOf(HasSubstr("[4, 6)"), HasSubstr("a.w.mean[0:6]"), HasSubstr("a.w.mean[4:10]")));
  expect_refused({{{"a.w.mean[0:10]", {10}}}, {{"a.w.mean[4:6]", {2}}}}, HasSubstr("[4, 6)"));
  expect_refused({{{"a.w.mean", {2, 5}}}, {{"a.w.mean[4:10]", {6}}}},
                 AllOf(HasSubstr("[4, 10)"), HasSubstr("a.w.mean[4:10]")));
}

TEST_F(TensorPieces, WhatCannotBeAPieceIsNamed) {
  for (const char* range : {"[0:11]", "[5:5]", "[6:5]", "[-1:9]", "[:10]", "[0:]", "[0-10]", "[0:10", "[0:10]x", "[",
                            "[ 0:10]", "[0:99999999999999999999]"})
    expect_refused({{{std::string("a.w.mean") + range, {10}}}}, HasSubstr(range));
  expect_refused({{{"a.w.mean[0:10]", {9}}}}, AllOf(HasSubstr("[0:10]"), HasSubstr("[9]"), HasSubstr("[10]")));
  expect_refused({{{"a.w.mean[0:10]", {2, 5}}}}, HasSubstr("[2, 5]"));
}

TEST_F(TensorPieces, AWholeTensorOfAnotherShapeIsNamedWithBoth) {
  expect_refused({{{"a.w.mean", {5, 2}}}}, AllOf(HasSubstr("[5, 2]"), HasSubstr("[2, 5]")));
  expect_refused({{{"a.w.mean", {}}}}, AllOf(HasSubstr("[]"), HasSubstr("[2, 5]")));
}

}  // namespace
}  // namespace interlock
