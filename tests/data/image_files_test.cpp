// Image files and CIFAR's records: pixels as another reader sees them, and hostile files refused. Free of LibTorch.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/core/error.h"
#include "runtime/data/images/augmentation.h"
#include "runtime/data/images/cifar_file.h"
#include "runtime/data/images/decode.h"
#include "tests/storage/support.h"

namespace interlock {
namespace {

const std::string folder = INTERLOCK_GOLDEN "/images/";
constexpr ImageShape colour{3, 9, 12}, grey{1, 9, 12};

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<uint8_t> decoded(const std::string& bytes, const ImageShape& shape) {
  return decode_image(std::as_bytes(std::span(bytes)), "input", shape);
}

// The words of an Error(bad_input).
std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input) << error.what();
    return error.what();
  }
  return "nothing was refused";
}

TEST(ImageFiles, HaveThePixelsThatPillowReads) {
  const auto pixels = nlohmann::json::parse(content(folder + "pixels.json"));
  ASSERT_EQ(pixels.size(), 7U);
  for (const auto& [name, values] : pixels.items()) {
    const std::string bytes = content(folder + name);
    const bool is_grey = name.starts_with("grey");
    const ImageShape shape = is_grey ? grey : colour;
    EXPECT_EQ(image_header(std::as_bytes(std::span(bytes)), name), shape) << name;
    EXPECT_EQ(decoded(bytes, shape), values.get<std::vector<uint8_t>>()) << name;
    if (!is_grey) continue;
    const std::vector<uint8_t> plane = decoded(bytes, grey), three = decoded(bytes, colour);
    for (size_t i = 0; i < three.size(); ++i) EXPECT_EQ(three[i], plane[i % plane.size()]);
  }
}

TEST(ImageFiles, OfKindsThatAreNotReadSaySo) {
  const auto words = [](const std::string& name, const ImageShape& shape) {
    const std::string bytes = content(folder + name);
    return refusal([&] { decode_image(std::as_bytes(std::span(bytes)), name, shape); });
  };
  EXPECT_NE(words("refused_cmyk.jpg", colour).find("CMYK"), std::string::npos);
  EXPECT_NE(words("refused_alpha.png", colour).find("transparency"), std::string::npos);
  EXPECT_NE(words("refused_deep.png", grey).find("16 bits"), std::string::npos);
  EXPECT_NE(words("pixels.json", colour).find("neither a JPEG nor a PNG"), std::string::npos);
  EXPECT_NE(words("colour.jpg", {3, 9, 13}).find("12 x 9"), std::string::npos);
  EXPECT_NE(words("colour.png", grey).find("data.channels"), std::string::npos);
}

TEST(ImageFiles, CutShortAreRefusedAtEveryLength) {
  for (const char* name : {"colour.jpg", "progressive.jpg", "colour.png", "palette.png"}) {
    const std::string whole = content(folder + name);
    // The last bytes of a PNG are its end mark, and of a JPEG too, which carry no pixels.
    for (size_t size = 0; size + 14 < whole.size(); size += 3)
      EXPECT_NE(refusal([&] { decoded(whole.substr(0, size), colour); }), "nothing was refused") << name << " " << size;
  }
}

TEST(ImageFiles, OfHugeSidesTakeNoMemory) {
  std::string png = content(folder + "colour.png"), jpeg = content(folder + "colour.jpg");
  png.replace(16, 8, std::string("\x7f\xff\xff\xff\x7f\xff\xff\xff", 8));
  EXPECT_NE(refusal([&] { decoded(png, colour); }), "nothing was refused");
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, std::string("\x7f\xf0\x7f\xf0", 4));
  EXPECT_NE(refusal([&] { decoded(jpeg, colour); }).find("16384"), std::string::npos);
}

std::string record(int64_t labels, int label, int value) {
  std::string made(static_cast<size_t>(labels), static_cast<char>(label));
  for (int i = 0; i < 3072; ++i) made += static_cast<char>((value + i) % 256);
  return made;
}

TEST(CifarFiles, HoldRecordsOfLabelsAndPlanes) {
  const TemporaryFolder temporary;
  const std::string ten = temporary.file("ten"), hundred = temporary.file("hundred");
  put(ten, record(1, 3, 7) + record(1, 9, 11));
  const CifarFile file(ten, {});
  EXPECT_EQ(file.count(), 2);
  EXPECT_EQ(file.label(1), 9);
  EXPECT_EQ(file.planes(1)[5], 16);
  std::string two = record(2, 0, 1);
  two[0] = 19, two[1] = 99;
  put(hundred, two);
  EXPECT_EQ(CifarFile(hundred, {.labels = 2, .label = 0, .classes = 20}).label(0), 19);
  EXPECT_EQ(CifarFile(hundred, {.labels = 2, .label = 1, .classes = 100}).label(0), 99);

  put(ten, record(1, 3, 7) + record(1, 3, 7).substr(1));
  EXPECT_NE(refusal([&] { CifarFile(ten, {}); }).find("1 records of 3073 bytes and 3072 more"), std::string::npos);
  put(ten, record(1, 10, 7));
  EXPECT_NE(refusal([&] { CifarFile(ten, {}); }).find("label 10"), std::string::npos);
  put(ten, "");
  EXPECT_NE(refusal([&] { CifarFile(ten, {}); }).find("no record"), std::string::npos);
}

// Every window and both mirrorings come, each drawn by epoch and sample alone, and numbers are normalised.
TEST(Augmentations, AreWindowsOfTheFramedImage) {
  const ImageShape shape{2, 4, 5};
  const Config config =
      Config::from_text("[data]\ncrop_padding = 1\nflip = true\nmean = [0.5, 0.25]\nstd = [0.5, 2]\n");
  const Augmentation augmentation(config.section("data"), shape, {}, 7);
  std::vector<uint8_t> planes(40);
  for (size_t i = 0; i < planes.size(); ++i) planes[i] = static_cast<uint8_t>(6 * i + 5);
  const auto of = [&](int down, int right, bool mirrored) {
    std::vector<float> out;
    for (int channel = 0; channel < 2; ++channel)
      for (int row = 0; row < 4; ++row)
        for (int column = 0; column < 5; ++column) {
          const int y = row + down, x = (mirrored ? 4 - column : column) + right;
          const bool inside = y >= 0 && y < 4 && x >= 0 && x < 5;
          const double pixel = inside ? planes[static_cast<size_t>(channel * 20 + y * 5 + x)] / 255.0 : 0;
          out.push_back(static_cast<float>(channel == 0 ? (pixel - 0.5) / 0.5 : (pixel - 0.25) / 2));
        }
    return out;
  };
  std::vector<float> out(40), again(40);
  augmentation.plain(planes.data(), out.data());
  EXPECT_EQ(out, of(0, 0, false));
  std::set<std::vector<float>> all, seen;
  for (const int down : {-1, 0, 1})
    for (const int right : {-1, 0, 1})
      for (const bool mirrored : {false, true}) all.insert(of(down, right, mirrored));
  for (uint64_t sample = 0; sample < 300; ++sample) {
    augmentation.train(planes.data(), 2, sample, out.data());
    augmentation.train(planes.data(), 2, sample, again.data());
    EXPECT_EQ(out, again);
    EXPECT_TRUE(all.contains(out)) << sample;
    seen.insert(out);
  }
  EXPECT_EQ(seen.size(), 18U);
  for (const char* wrong :
       {"mean = [0.5, 0.5]\n", "mean = [1]\nstd = [1]\n", "mean = [0, 0]\nstd = [1, 0]\n", "crop_padding = 5\n"})
    EXPECT_THROW(Augmentation(Config::from_text(std::string("[data]\n") + wrong).section("data"), shape, {}, 1), Error)
        << wrong;
}

}  // namespace
}  // namespace interlock
