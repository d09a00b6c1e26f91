// JPEG by libjpeg-turbo. Its errors leave by longjmp, so nothing with a destructor lives in the functions that call it.
#include <csetjmp>
#include <cstdio>

// jpeglib.h uses FILE and size_t without including what declares them.
#include <jpeglib.h>

#include <jerror.h>

#include "runtime/data/images/codecs.h"

namespace interlock {
namespace {

// A progressive file of a few bytes may ask for any number of passes over all its pixels.
constexpr int most_scans = 100;

struct Failure {
  jpeg_error_mgr manager;  // first: the library hands back its address
  jmp_buf back;
  char text[JMSG_LENGTH_MAX];
};

void give_up(j_common_ptr codec) {
  auto* failure = reinterpret_cast<Failure*>(codec->err);
  failure->manager.format_message(codec, failure->text);
  std::longjmp(failure->back, 1);
}

// A warning means that pixels were made up, but for one about bytes between markers.
void warn(j_common_ptr codec, int level) {
  if (level < 0 && codec->err->msg_code != JWRN_EXTRANEOUS_DATA) give_up(codec);
}

void say_nothing(j_common_ptr) {}

void count_scans(j_common_ptr codec) {
  if (reinterpret_cast<j_decompress_ptr>(codec)->input_scan_number <= most_scans) return;
  auto* failure = reinterpret_cast<Failure*>(codec->err);
  std::snprintf(failure->text, sizeof failure->text, "more than %d scans", most_scans);
  std::longjmp(failure->back, 1);
}

struct Codec {
  jpeg_decompress_struct decoder;
  Failure failure;
  jpeg_progress_mgr progress;
};

void begin(Codec& codec, std::span<const std::byte> file) {
  jpeg_create_decompress(&codec.decoder);
  codec.progress.progress_monitor = count_scans;
  codec.decoder.progress = &codec.progress;
  jpeg_mem_src(&codec.decoder, reinterpret_cast<const unsigned char*>(file.data()),
               static_cast<unsigned long>(file.size()));
  jpeg_read_header(&codec.decoder, TRUE);
}

void prepare(Codec& codec) {
  codec.decoder = {};
  codec.failure = {};
  codec.progress = {};
  codec.decoder.err = jpeg_std_error(&codec.failure.manager);
  codec.failure.manager.error_exit = give_up;
  codec.failure.manager.emit_message = warn;
  codec.failure.manager.output_message = say_nothing;
}

// False: codec.failure.text says why.
bool read_header(Codec& codec, std::span<const std::byte> file) {
  prepare(codec);
  if (setjmp(codec.failure.back) != 0) {
    jpeg_destroy_decompress(&codec.decoder);
    return false;
  }
  begin(codec, file);
  jpeg_destroy_decompress(&codec.decoder);
  return true;
}

bool read_pixels(Codec& codec, std::span<const std::byte> file, bool grey, size_t stride, uint8_t* pixels) {
  prepare(codec);
  if (setjmp(codec.failure.back) != 0) {
    jpeg_destroy_decompress(&codec.decoder);
    return false;
  }
  begin(codec, file);
  codec.decoder.out_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&codec.decoder);
  while (codec.decoder.output_scanline < codec.decoder.output_height) {
    JSAMPROW row = pixels + stride * codec.decoder.output_scanline;
    jpeg_read_scanlines(&codec.decoder, &row, 1);
  }
  jpeg_finish_decompress(&codec.decoder);
  jpeg_destroy_decompress(&codec.decoder);
  return true;
}

std::string problem_of(const Codec& codec) { return std::string("a damaged JPEG: ") + codec.failure.text; }

}  // namespace

bool is_jpeg(std::span<const std::byte> file) {
  return file.size() >= 3 && file[0] == std::byte{0xff} && file[1] == std::byte{0xd8} && file[2] == std::byte{0xff};
}

std::string jpeg_header(std::span<const std::byte> file, ImageShape& shape) {
  Codec codec;
  if (!read_header(codec, file)) return problem_of(codec);
  const bool grey = codec.decoder.jpeg_color_space == JCS_GRAYSCALE;
  if (!grey && codec.decoder.jpeg_color_space != JCS_YCbCr && codec.decoder.jpeg_color_space != JCS_RGB)
    return "a JPEG that is neither grey nor colour (CMYK); store it as RGB";
  shape = {grey ? 1 : 3, codec.decoder.image_height, codec.decoder.image_width};
  return {};
}

std::string jpeg_pixels(std::span<const std::byte> file, const ImageShape& shape, uint8_t* pixels) {
  Codec codec;
  const auto stride = static_cast<size_t>(shape.width * shape.channels);
  return read_pixels(codec, file, shape.channels == 1, stride, pixels) ? std::string() : problem_of(codec);
}

}  // namespace interlock
