// PNG by libpng's simplified interface, which keeps its longjmp to itself.
#include <png.h>

#include "runtime/data/images/codecs.h"

namespace interlock {
namespace {

std::string problem_of(const png_image& image) { return std::string("a damaged PNG: ") + image.message; }

bool begin(png_image& image, std::span<const std::byte> file) {
  image = {};
  image.version = PNG_IMAGE_VERSION;
  return png_image_begin_read_from_memory(&image, file.data(), file.size()) != 0;
}

}  // namespace

bool is_png(std::span<const std::byte> file) {
  constexpr size_t signature = 8;
  return file.size() >= signature && png_sig_cmp(reinterpret_cast<png_const_bytep>(file.data()), 0, signature) == 0;
}

std::string png_header(std::span<const std::byte> file, ImageShape& shape) {
  png_image image;
  if (!begin(image, file)) return problem_of(image);
  const png_uint_32 format = image.format;
  shape = {(format & PNG_FORMAT_FLAG_COLOR) != 0 ? 3 : 1, image.height, image.width};
  png_image_free(&image);
  if ((format & PNG_FORMAT_FLAG_ALPHA) != 0) return "a PNG with transparency; store it without";
  if ((format & PNG_FORMAT_FLAG_LINEAR) != 0) return "a PNG of 16 bits a channel; store it with 8";
  return {};
}

std::string png_pixels(std::span<const std::byte> file, const ImageShape& shape, uint8_t* pixels) {
  png_image image;
  if (!begin(image, file)) return problem_of(image);
  image.format = shape.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  if (png_image_finish_read(&image, nullptr, pixels, 0, nullptr) == 0) return problem_of(image);
  return {};
}

}  // namespace interlock
