#pragma once
// JPEG and PNG files to pixels, by libjpeg-turbo and libpng. What the file is follows from its first bytes, not its
// name. Torch-free; may be called from several threads.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/data/image_shape.h"

namespace interlock {

// What the header says: `channels` is 1 for grey, 3 for colour. No memory is taken for pixels. Error(bad_input) names
// `path`, and what is wrong: neither of the formats, cut short, CMYK, transparent, 16 bits a channel, above 16384 a
// side, or a file above 64 MiB.
ImageShape image_header(std::span<const std::byte> file, const std::string& path);

// Error(bad_input) for another size than `shape`, and for colour where `shape` has one channel.
void check_shape(const ImageShape& found, const ImageShape& shape, const std::string& path);

// The pixels, channel after channel, row after row. Error(bad_input) as both of these, and for data that is cut short
// or damaged. Grey becomes colour where `shape` has three.
std::vector<uint8_t> decode_image(std::span<const std::byte> file, const std::string& path, const ImageShape& shape);

}  // namespace interlock
