#pragma once
// What decode.cpp asks of each format. A codec answers with what is wrong, or with nothing.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "runtime/data/image_shape.h"

namespace interlock {

inline constexpr int64_t most_pixels_a_side = 1 << 14;

bool is_jpeg(std::span<const std::byte> file);
std::string jpeg_header(std::span<const std::byte> file, ImageShape& shape);
// `pixels`: shape.numbers() of them, interleaved; the shape is that of the header.
std::string jpeg_pixels(std::span<const std::byte> file, const ImageShape& shape, uint8_t* pixels);

bool is_png(std::span<const std::byte> file);
std::string png_header(std::span<const std::byte> file, ImageShape& shape);
std::string png_pixels(std::span<const std::byte> file, const ImageShape& shape, uint8_t* pixels);

}  // namespace interlock
