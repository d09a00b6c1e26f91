// A safetensors file. What is accepted has tensors that lie inside the file, one after the other, as large as their
// shapes say.
#include "runtime/storage/safetensors.h"

#include <functional>
#include <numeric>

#include "runtime/storage/dtype.h"
#include "tests/fuzz/target.h"

using namespace interlock;

namespace {

void check(const SafetensorsFile& file, std::span<const std::byte> input) {
  uint64_t covered = 0;
  unsigned sum = 0;
  for (const TensorEntry& tensor : file.tensors()) {
    const std::span<const std::byte> bytes = file.bytes(tensor);
    fuzz::require(tensor.begin <= tensor.end && bytes.size() == tensor.end - tensor.begin, "a span is as its offsets");
    fuzz::require(
        bytes.empty() || (bytes.data() >= input.data() && bytes.data() + bytes.size() <= input.data() + input.size()),
        "a span lies in the file");
    fuzz::require(file.find(tensor.name) == &tensor, "a tensor is found by its name");
    const bool empty = std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end();
    const uint64_t elements =
        empty ? 0 : std::accumulate(tensor.shape.begin(), tensor.shape.end(), uint64_t{1}, [](uint64_t a, int64_t b) {
          return a * static_cast<uint64_t>(b);
        });
    fuzz::require(elements * static_cast<uint64_t>(dtype_bits(tensor.dtype)) == 8 * bytes.size(),
                  "a span is as its shape");
    covered += bytes.size();
    for (const std::byte byte : bytes) sum += static_cast<unsigned>(byte);
  }
  fuzz::require(covered < input.size(), "tensors do not overlap");
  fuzz::require(sum <= 255 * input.size(), "every byte can be read");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span input(reinterpret_cast<const std::byte*>(data), size);
  fuzz::accepts(ExitCode::bad_input, [&] { check(*SafetensorsFile::parse(input, "input.safetensors"), input); });
  return 0;
}
