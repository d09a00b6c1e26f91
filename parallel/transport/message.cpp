// Messages as text, and memory for them.
#include "parallel/transport/message.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <sstream>

namespace interlock {
namespace {

const char* kind_name(MessageKind kind) {
  switch (kind) {
    case MessageKind::activation:
      return "activation";
    case MessageKind::gradient:
      return "gradient";
    case MessageKind::collective:
      return "collective";
    case MessageKind::report:
      return "report";
    case MessageKind::weights:
      return "weights";
  }
  return "unknown kind";
}

// The values of c10::ScalarType, spelt without LibTorch; 0 doubles as "plain bytes".
std::string dtype_name(int dtype) {
  switch (dtype) {
    case 0:
      return "bytes";
    case 3:
      return "int32";
    case 4:
      return "int64";
    case 5:
      return "float16";
    case 6:
      return "float32";
    case 7:
      return "float64";
    case 11:
      return "bool";
    case 15:
      return "bfloat16";
    default:
      return "dtype " + std::to_string(dtype);
  }
}

}  // namespace

std::string describe(const MessageHeader& header) {
  std::ostringstream out;
  out << kind_name(header.lane.kind) << ", boundary " << header.lane.boundary << ", stream " << header.lane.stream
      << ", run " << header.run << ", step " << header.step << ", microbatch " << header.microbatch << ", loss "
      << header.loss << ", " << dtype_name(header.dtype) << " [";
  const int dimensions = std::clamp<int>(header.dimensions, 0, static_cast<int>(header.shape.size()));
  for (int i = 0; i < dimensions; ++i) out << (i ? ", " : "") << header.shape[i];
  out << "]";
  if (dimensions != header.dimensions) out << " of " << int{header.dimensions} << " dimensions";
  out << ", " << header.bytes << " bytes";
  return out.str();
}

Buffer Buffer::allocate(uint64_t bytes) {
  constexpr uint64_t alignment =
      64;  // a cache line and an AVX-512 register; a misaligned tensor can change product bits
  const uint64_t rounded = (std::max<uint64_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded);
  if (!memory) throw std::bad_alloc();
  return {std::shared_ptr<void>(memory, std::free), static_cast<std::byte*>(memory), bytes};
}

}  // namespace interlock
