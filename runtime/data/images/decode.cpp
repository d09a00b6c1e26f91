#include "runtime/data/images/decode.h"

#include "runtime/core/error.h"
#include "runtime/data/images/codecs.h"

namespace interlock {
namespace {

constexpr size_t most_bytes = size_t{64} << 20;

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
  throw Error(ExitCode::bad_input, message(path, ": ", what));
}

std::string text_of(const ImageShape& shape) {
  return message(shape.width, " x ", shape.height, shape.channels == 1 ? " grey" : " colour");
}

}  // namespace

ImageShape image_header(std::span<const std::byte> file, const std::string& path) {
  if (file.size() > most_bytes)
    refuse(path, message("an image of ", file.size() >> 20, " MiB; at most ", most_bytes >> 20, " are read"));
  const bool jpeg = is_jpeg(file);
  if (!jpeg && !is_png(file)) refuse(path, "neither a JPEG nor a PNG, by its first bytes");
  ImageShape shape;
  const std::string problem = jpeg ? jpeg_header(file, shape) : png_header(file, shape);
  if (!problem.empty()) refuse(path, problem);
  for (const int64_t side : {shape.width, shape.height})
    if (side < 1 || side > most_pixels_a_side)
      refuse(path,
             message("an image of ", text_of(shape), "; at most ", most_pixels_a_side, " pixels a side are read"));
  return shape;
}

void check_shape(const ImageShape& found, const ImageShape& shape, const std::string& path) {
  if (found.width != shape.width || found.height != shape.height)
    refuse(path, message("an image of ", text_of(found), "; the data is said to be ", shape.width, " x ", shape.height,
                         " (data.width, data.height), and nothing is scaled"));
  if (found.channels > shape.channels) refuse(path, "an image in colour, and data.channels = 1 asks for grey ones");
}

std::vector<uint8_t> decode_image(std::span<const std::byte> file, const std::string& path, const ImageShape& shape) {
  const ImageShape found = image_header(file, path);
  check_shape(found, shape, path);
  std::vector<uint8_t> pixels(static_cast<size_t>(found.numbers()));
  const std::string problem =
      is_jpeg(file) ? jpeg_pixels(file, found, pixels.data()) : png_pixels(file, found, pixels.data());
  if (!problem.empty()) refuse(path, problem);
  std::vector<uint8_t> planes(static_cast<size_t>(shape.numbers()));
  const auto places = static_cast<size_t>(shape.height * shape.width), channels = static_cast<size_t>(found.channels);
  for (size_t channel = 0; channel < static_cast<size_t>(shape.channels); ++channel)
    for (size_t place = 0; place < places; ++place)
      planes[channel * places + place] = pixels[place * channels + (channels == 1 ? 0 : channel)];
  return planes;
}

}  // namespace interlock
