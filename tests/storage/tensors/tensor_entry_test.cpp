// Tensors of files as LibTorch tensors.

#include "runtime/storage/tensors/tensor_entry.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "runtime/core/error.h"

namespace interlock {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// -2 and 0.5 as the IEEE formats write them, little endian.
struct Format {
  const char* name;
  at::ScalarType type;
  std::vector<uint8_t> bytes;
};
const Format formats[] = {
    {"F32", at::kFloat, {0, 0, 0, 0xC0, 0, 0, 0, 0x3F}},
    {"F64", at::kDouble, {0, 0, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0xE0, 0x3F}},
    {"BF16", at::kBFloat16, {0, 0xC0, 0, 0x3F}},
    {"F16", at::kHalf, {0, 0xC0, 0, 0x38}},
};

TEST(TensorEntryOfAFile, IsViewedWhereItLies) {
  for (const Format& format : formats) {
    SCOPED_TRACE(format.name);
    EXPECT_EQ(safetensors_dtype(format.type), format.name);
    const TensorEntry entry{"layer.weight", format.name, {2, 1}, 0, format.bytes.size()};
    const at::Tensor view = tensor_view(entry, std::as_bytes(std::span(format.bytes)), "file");
    EXPECT_EQ(view.scalar_type(), format.type);
    EXPECT_EQ(view.data_ptr(), format.bytes.data());
    EXPECT_TRUE(at::equal(view.to(at::kDouble), at::tensor({-2.0, 0.5}, at::kDouble).view({2, 1})));
  }
}

TEST(TensorEntryOfAFile, OfATypeThatWeightsDoNotHaveIsRefusedByName) {
  const TensorEntry entry{"layer.weight", "I64", {1}, 0, 8};
  const std::vector<uint8_t> bytes(8);
  try {
    tensor_view(entry, std::as_bytes(std::span(bytes)), "old.safetensors");
    ADD_FAILURE() << "taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("old.safetensors"), HasSubstr("layer.weight"), HasSubstr("I64")));
  }
  EXPECT_THROW(safetensors_dtype(at::kLong), Error);
}

}  // namespace
}  // namespace interlock
