// A file of CIFAR records. Input: a byte that chooses the kind, the file. What is accepted is a whole number of
// records, each with a class for its label.
#include "runtime/data/images/cifar_file.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/fuzz/target.h"

using namespace interlock;

namespace {

// A file that lives as long as the process.
class Place {
 public:
  Place() {
    char folder[] = "/tmp/interlock-fuzz-XXXXXX";
    fuzz::require(mkdtemp(folder) != nullptr, "a folder can be made");
    folder_ = folder;
  }
  ~Place() { std::filesystem::remove_all(folder_); }
  Place(const Place&) = delete;
  std::string write(std::string_view bytes) const {
    std::ofstream(folder_ / "records", std::ios::binary) << bytes;
    return folder_ / "records";
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Place place;
  if (size == 0) return 0;
  const CifarKind kinds[] = {{}, {.labels = 2, .label = 0, .classes = 20}, {.labels = 2, .label = 1, .classes = 100}};
  const CifarKind& kind = kinds[data[0] % 3];
  const std::string_view bytes = fuzz::text_of(data, size).substr(1);
  fuzz::accepts(ExitCode::bad_input, [&] {
    const CifarFile file(place.write(bytes), kind);
    const int64_t record = kind.labels + CifarFile::pixels;
    fuzz::require(file.count() * record == static_cast<int64_t>(bytes.size()) && file.count() > 0, "records are whole");
    for (int64_t i = 0; i < file.count(); ++i) {
      fuzz::require(file.label(i) >= 0 && file.label(i) < kind.classes, "a label is a class");
      const auto first = static_cast<size_t>(i * record + kind.labels);
      fuzz::require(std::string_view(reinterpret_cast<const char*>(file.planes(i)), CifarFile::pixels) ==
                        bytes.substr(first, CifarFile::pixels),
                    "pixels stand where they belong");
    }
  });
  return 0;
}
