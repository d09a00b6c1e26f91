// An image file. What is accepted has as many pixels as its header says, the same at every reading, and grey ones are
// the same in colour.
#include "runtime/data/images/decode.h"
#include "tests/fuzz/target.h"

using namespace interlock;

namespace {

// A small file may ask for more pixels than a test has memory for.
constexpr int64_t most_pixels = 1 << 18;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  ImageShape shape;
  if (!fuzz::accepts(ExitCode::bad_input, [&] { shape = image_header(file, "input"); })) return 0;
  fuzz::require(shape.channels == 1 || shape.channels == 3, "an image is grey or in colour");
  if (shape.numbers() > most_pixels) return 0;
  const ImageShape taller{shape.channels, shape.height + 1, shape.width};
  fuzz::require(!fuzz::accepts(ExitCode::bad_input, [&] { decode_image(file, "input", taller); }),
                "another size is refused");
  std::vector<uint8_t> planes;
  if (!fuzz::accepts(ExitCode::bad_input, [&] { planes = decode_image(file, "input", shape); })) return 0;
  fuzz::require(static_cast<int64_t>(planes.size()) == shape.numbers(), "every pixel is there");
  fuzz::require(decode_image(file, "input", shape) == planes, "a file always reads the same");
  if (shape.channels == 3) return 0;
  const std::vector<uint8_t> three = decode_image(file, "input", {3, shape.height, shape.width});
  for (size_t i = 0; i < three.size(); ++i)
    fuzz::require(three[i] == planes[i % planes.size()], "grey is the same in every channel");
  return 0;
}
