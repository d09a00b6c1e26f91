// Files that must be read and written: a hand-made one, the reference implementation's, and random round trips.

#include "runtime/storage/safetensors.h"

#include <cstring>
#include <random>

#include "runtime/storage/dtype.h"
#include "runtime/storage/sha256.h"
#include "tests/storage/support.h"

namespace interlock {
namespace {

const std::string golden = INTERLOCK_TEST_FOLDER "/golden/reference.safetensors";

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<long double> numbers(const SafetensorsFile& file, const std::string& name) {
  const TensorEntry* tensor = file.find(name);
  if (tensor == nullptr) throw std::runtime_error("no tensor " + name);
  size_t count = 1;
  for (const int64_t dimension : tensor->shape) count *= static_cast<size_t>(dimension);
  std::vector<long double> out(count);
  read_numbers(tensor->dtype, file.bytes(*tensor), 0, out);
  return out;
}

TEST(Safetensors, WritesTheLayoutByteForByte) {
  const TemporaryFolder folder;
  const std::string path = folder.file("w.safetensors");
  Sha256 digest;  // as for a file of a checkpoint, whose manifest keeps the hash
  SafetensorsWriter writer(path, {{"b", "U8", {3}}, {"a", "U8", {1}}, {"z", "F32", {1, 2}}}, {}, &digest);
  ASSERT_EQ(writer.order().size(), 3u);
  EXPECT_EQ(writer.order()[0].name, "z");  // the wider type first, then by name
  EXPECT_EQ(writer.order()[1].name, "a");
  writer.write("z", bytes_of(std::string("\0\0\x80\x3f\0\0\0\xc0", 8)));
  writer.write("a", bytes_of("x"));
  writer.write("b", bytes_of("uvw"));
  writer.commit();

  std::string header =
      R"({"__metadata__":{"format":"pt"},"z":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"U8","shape":[1],"data_offsets":[8,9]},"b":{"dtype":"U8","shape":[3],"data_offsets":[9,12]}})";
  while (header.size() % 8 != 0) header += ' ';
  EXPECT_EQ(get(path), by_hand(header, std::string("\0\0\x80\x3f\0\0\0\xc0xuvw", 12)));
  EXPECT_EQ(folder.entries(), 1u);  // no temporary is left
}

TEST(Safetensors, ReadsWhatTheReferenceImplementationWrote) {
  const auto file = SafetensorsFile::open(golden);
  EXPECT_EQ(file->tensors().size(), 13u);
  EXPECT_EQ(file->metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  using Numbers = std::vector<long double>;
  EXPECT_EQ(numbers(*file, "b.weight"), (Numbers{0, -1.5f, 2.25f, 3, 1e-38f, 3.0e38f}));
  EXPECT_EQ(numbers(*file, "a.weight"), (Numbers{1, -2}));
  EXPECT_EQ(numbers(*file, "half"),
            (Numbers{1, -0.333251953125L, 65504, 0x1p-24L, std::numeric_limits<long double>::infinity()}));
  EXPECT_EQ(numbers(*file, "brain"), (Numbers{1, -3.140625L, 0x1p-133L}));
  EXPECT_EQ(numbers(*file, "double"), (Numbers{0.1}));
  EXPECT_EQ(numbers(*file, "steps"), (Numbers{-0x1p63L, 0x1p63L - 1}));
  EXPECT_EQ(numbers(*file, "big"), (Numbers{0x1p64L - 1}));
  EXPECT_EQ(numbers(*file, "scalar"), (Numbers{-7}));
  EXPECT_EQ(numbers(*file, "empty"), Numbers{});
  EXPECT_EQ(numbers(*file, "bytes"), (Numbers{0, 128, 255}));
  EXPECT_EQ(numbers(*file, "small"), (Numbers{-128, 127}));
  EXPECT_EQ(numbers(*file, "flags"), (Numbers{1, 0, 1}));
  EXPECT_EQ(numbers(*file, "na\xc3\xafve \"name\"\\"), (Numbers{-2}));
  EXPECT_EQ(file->find("b.weight")->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_TRUE(file->find("scalar")->shape.empty());
  EXPECT_EQ(file->find("absent"), nullptr);
}

TEST(Safetensors, WritesWhatTheReferenceImplementationWrites) {
  const auto file = SafetensorsFile::open(golden);
  const TemporaryFolder folder;
  const std::string path = folder.file("again.safetensors");
  Sha256 digest;  // which the reference implementation does not write into the file
  SafetensorsWriter writer(path, file->tensors(), {}, &digest);
  for (const TensorEntry& tensor : writer.order()) writer.write(tensor.name, file->bytes(*file->find(tensor.name)));
  writer.commit();
  EXPECT_EQ(get(path), get(golden));
}

TEST(Safetensors, RoundTripsRandomTensors) {
  std::mt19937 random(7);
  const std::vector<std::string> dtypes = {"BOOL", "F8_E4M3", "I16", "BF16", "F16", "F32", "C64", "F64", "I64"};
  const TemporaryFolder folder;
  const std::string path = folder.file("w.safetensors");
  for (int round = 0; round < 50; ++round) {
    std::vector<TensorEntry> entries;
    std::map<std::string, std::string> contents;
    const auto count = random() % 20;
    for (size_t i = 0; i < count; ++i) {
      TensorEntry entry{
          "tensor." + std::to_string(random() % 1000) + "." + std::to_string(i), dtypes[random() % dtypes.size()], {}};
      size_t size = static_cast<size_t>(dtype_bits(entry.dtype)) / 8;
      for (auto left = random() % 4; left > 0; --left) {
        entry.shape.push_back(static_cast<int64_t>(random() % 6));
        size *= static_cast<size_t>(entry.shape.back());
      }
      std::string& content = contents[entry.name];
      for (size_t b = 0; b < size; ++b) content += static_cast<char>(random());
      entries.push_back(entry);
    }
    const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"round", std::to_string(round)}};
    SafetensorsWriter writer(path, entries, metadata);
    for (const TensorEntry& entry : writer.order()) writer.write(entry.name, bytes_of(contents[entry.name]));
    writer.commit();

    const auto file = SafetensorsFile::open(path);
    ASSERT_EQ(file->tensors().size(), entries.size());
    auto read = file->metadata();
    EXPECT_EQ(read.erase("interlock.sha256"), 1u) << "a file of our own carries its hash";
    EXPECT_EQ(read, metadata);
    for (const TensorEntry& entry : entries) {
      const TensorEntry* found = file->find(entry.name);
      ASSERT_NE(found, nullptr);
      EXPECT_EQ(found->dtype, entry.dtype);
      EXPECT_EQ(found->shape, entry.shape);
      EXPECT_EQ(text_of(file->bytes(*found)), contents[entry.name]);
    }
  }
}

TEST(Safetensors, FollowsASymbolicLink) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink(golden, folder.file("link"));
  EXPECT_EQ(SafetensorsFile::open(folder.file("link"))->tensors().size(), 13u);
}

// Such a file would look whole to every reader.
TEST(Safetensors, AWriterRefusesTensorsOutOfTurnAndLeftOut) {
  const TemporaryFolder folder;
  const std::string path = folder.file("w.safetensors");
  const auto refuses = [&](const std::function<void(SafetensorsWriter&)>& act, const std::string& words) {
    SafetensorsWriter writer(path, {{"a", "U8", {2}}, {"b", "U8", {2}}});
    const auto error = error_of([&] { act(writer); });
    ASSERT_TRUE(error) << words;
    EXPECT_EQ(error->code(), ExitCode::gave_up);
    EXPECT_NE(std::string(error->what()).find(words), std::string::npos) << error->what();
  };
  refuses([](auto& writer) { writer.write("b", bytes_of("xy")); }, "b with 2 bytes is not what comes next, a");
  refuses([](auto& writer) { writer.write("a", bytes_of("xyz")); }, "a with 3 bytes is not what comes next, a");
  refuses(
      [](auto& writer) {
        writer.write("a", bytes_of("xy"));
        writer.commit();
      },
      "b was announced and never written");
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(Safetensors, StaysReadableAfterItsFileIsReplaced) {
  const TemporaryFolder folder;
  const std::string path = folder.file("w.safetensors");
  const auto write = [&](const std::string& content) {
    SafetensorsWriter writer(path, {{"a", "U8", {4}}});
    writer.write("a", bytes_of(content));
    writer.commit();
  };
  write("old!");
  const auto old = SafetensorsFile::open(path);
  write("new!");
  EXPECT_EQ(text_of(old->bytes(*old->find("a"))), "old!");
  const auto fresh = SafetensorsFile::open(path);
  EXPECT_EQ(text_of(fresh->bytes(*fresh->find("a"))), "new!");
}

}  // namespace
}  // namespace interlock
