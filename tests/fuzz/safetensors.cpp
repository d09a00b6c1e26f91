// A safetensors file. What is accepted has tensors that lie inside the file, one after the other, as large as their
// shapes say.
#include "runtime/storage/safetensors.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "runtime/storage/dtype.h"
#include "tests/fuzz/target.h"

using namespace interlock;

namespace {

// Elements of a shape, or nothing when 64 bits do not hold them.
std::optional<uint64_t> elements_of(const std::vector<int64_t>& shape) {
  uint64_t elements = 1;
  for (const int64_t size : shape) {
    fuzz::require(size >= 0, "no dimension is negative");
    if (size > 0 && elements > UINT64_MAX / static_cast<uint64_t>(size)) return std::nullopt;
    elements *= static_cast<uint64_t>(size);
  }
  return elements;
}

void check(const SafetensorsFile& file, std::span<const std::byte> input) {
  uint64_t header = 0;
  fuzz::require(input.size() >= sizeof header, "there is a header");
  std::memcpy(&header, input.data(), sizeof header);
  const std::span<const std::byte> data = input.subspan(sizeof header + header);
  std::vector<int> owners(data.size());
  unsigned sum = 0;
  for (const TensorEntry& tensor : file.tensors()) {
    fuzz::require(tensor.begin <= tensor.end && tensor.end <= data.size(), "a tensor lies in the data");
    const std::span<const std::byte> bytes = file.bytes(tensor);
    fuzz::require(
        bytes.size() == tensor.end - tensor.begin && (bytes.empty() || bytes.data() == data.data() + tensor.begin),
        "a span is as its offsets");
    fuzz::require(file.find(tensor.name) == &tensor, "a tensor is found by its name");
    const std::optional<uint64_t> elements = elements_of(tensor.shape);
    fuzz::require(elements && *elements * static_cast<uint64_t>(dtype_bits(tensor.dtype)) == 8 * bytes.size(),
                  "a span is as its shape");
    for (uint64_t place = tensor.begin; place < tensor.end; ++place) ++owners[place];
    for (const std::byte byte : bytes) sum += static_cast<unsigned>(byte);
  }
  fuzz::require(std::count(owners.begin(), owners.end(), 1) == std::ssize(owners), "every byte belongs to one tensor");
  fuzz::require(sum <= 255 * input.size(), "every byte can be read");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span input(reinterpret_cast<const std::byte*>(data), size);
  fuzz::accepts(ExitCode::bad_input, [&] { check(*SafetensorsFile::parse(input, "input.safetensors"), input); });
  return 0;
}
