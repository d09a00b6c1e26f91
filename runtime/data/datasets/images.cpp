// Dataset `images`: JPEG and PNG files in a folder for each class, decoded when a batch is made.
#include <algorithm>
#include <filesystem>

#include "runtime/core/nearest_name.h"
#include "runtime/data/images/decode.h"
#include "runtime/data/images/image_dataset.h"
#include "runtime/storage/mapped_file.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& path, const std::string& what) {
  throw Error(ExitCode::bad_input, message(path.string(), ": ", what));
}

// Sorted, without hidden entries.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code failed;
  for (fs::directory_iterator next(folder, failed), end; !failed && next != end; next.increment(failed))
    if (!next->path().filename().string().starts_with(".")) entries.push_back(next->path());
  if (failed) refuse(folder, "cannot be read as a folder: " + failed.message());
  std::ranges::sort(entries);
  return entries;
}

std::vector<std::string> class_folders(const fs::path& folder) {
  std::vector<std::string> names;
  for (const fs::path& entry : entries_of(folder)) {
    if (!fs::is_directory(entry)) refuse(entry, "stands among the folders of classes, and is none");
    names.push_back(entry.filename().string());
  }
  if (names.empty()) refuse(folder, "holds no folder; each class has one");
  return names;
}

class FolderSource final : public ImageSource {
 public:
  // Looks at every header: images of mixed sizes are told of before anything is trained.
  FolderSource(const fs::path& folder, const std::vector<std::string>& classes, const ImageShape& shape)
      : shape_(shape) {
    for (const std::string& name : class_folders(folder)) {
      const auto found = std::ranges::find(classes, name);
      if (found == classes.end()) refuse(folder / name, unknown_name("class", name, classes));
      const std::vector<fs::path> files = entries_of(folder / name);
      if (files.empty()) refuse(folder / name, "a class without an image");
      for (const fs::path& file : files) {
        check(file);
        files_.push_back({file.string(), found - classes.begin()});
      }
    }
  }

  int64_t count() const override { return static_cast<int64_t>(files_.size()); }
  int64_t label(int64_t item) const override { return files_[static_cast<size_t>(item)].label; }
  const uint8_t* planes(int64_t item, std::vector<uint8_t>& room) const override {
    const std::string& path = files_[static_cast<size_t>(item)].path;
    room = decode_image(MappedFile(path).bytes(), path, shape_);
    return room.data();
  }
  int64_t grey() const { return grey_; }

 private:
  struct File {
    std::string path;
    int64_t label;
  };

  void check(const fs::path& path) {
    const MappedFile file(path.string());
    const ImageShape found = image_header(file.bytes(), path.string());
    check_shape(found, shape_, path.string());
    if (found.channels < shape_.channels) ++grey_;
  }

  ImageShape shape_;
  std::vector<File> files_;
  int64_t grey_ = 0;
};

ImageShape read_shape(const Section& data) {
  constexpr int64_t most = 1 << 12;
  const int64_t height = data.integer("height", 32, 1, most), width = data.integer("width", 32, 1, most);
  const int64_t channels = data.integer("channels", 3);
  if (channels != 1 && channels != 3)
    data.refuse("channels", message("is ", channels, "; write 1 (grey) or 3 (colour)"));
  return {channels, height, width};
}

class ImagesDataset final : public ImageDataset {
 public:
  explicit ImagesDataset(const DatasetSettings& settings)
      : ImageDataset(settings, read_shape(settings.data), {}), trains_(settings.training) {
    path_ = data().text("path", "");
    validation_path_ = data().text("validation_path", "");
    labels_ = data().texts("labels", {});
    if (labels_.empty() && settings.looks_at_files && !path_.empty()) labels_ = class_folders(data_folder(path_));
  }

  void open() override {
    if (trains_ && path_.empty()) data().refuse("path", "is needed: a folder with a folder of images for each class");
    if (labels_.empty()) labels_ = class_folders(data_folder(path_));
    const auto source = [&](const std::string& path) {
      auto made = std::make_shared<const FolderSource>(data_folder(path), labels_, image());
      grey_ += made->grey();
      return made;
    };
    set_sources(trains_ ? source(path_) : nullptr, validation_path_.empty() ? nullptr : source(validation_path_));
  }

  int64_t classes() const override { return static_cast<int64_t>(labels_.size()); }
  std::vector<std::string> labels() const override { return labels_; }
  std::vector<std::string> evaluation_keys() const override { return {"validation_path"}; }
  std::vector<std::string> notes() const override {
    if (grey_ == 0) return {};
    return {message(grey_, " grey images stand among those in colour: their three channels are equal")};
  }

 private:
  std::string path_, validation_path_;
  std::vector<std::string> labels_;
  bool trains_;
  int64_t grey_ = 0;
};

const Registration<Dataset, const DatasetSettings&> registered("images", [](const DatasetSettings& settings) {
  return std::make_unique<ImagesDataset>(settings);
});

}  // namespace
}  // namespace interlock
