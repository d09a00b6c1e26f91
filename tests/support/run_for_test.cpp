#include "tests/support/run_for_test.h"

#include <ATen/ops/abs.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/max.h>
#include <ATen/ops/sub.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>

namespace interlock {
namespace {

namespace fs = std::filesystem;

// A folder of this process, removed at its end.
const fs::path& scratch() {
  struct Folder {
    fs::path path = fs::temp_directory_path() / ("interlock-test-" + std::to_string(getpid()));
    Folder() { fs::create_directories(path); }
    ~Folder() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  };
  static const Folder folder;
  return folder.path;
}

// A corpus with files of many lengths, so that some samples are padded.
const std::string& corpus() {
  static const std::string path = [] {
    const fs::path folder = scratch() / "corpus";
    fs::create_directories(folder);
    for (int file = 0; file < 40; ++file) {
      std::ofstream out(folder / ("text" + std::to_string(file)));
      for (int line = 0; line < 3 + file % 7; ++line)
        out << "line " << line << " of file " << file << ": the quick brown fox, " << file * line << "\n";
    }
    return folder.string();
  }();
  return path;
}

}  // namespace

// Texts and pairs of many lengths with a word, a number and a score each.
const std::string& table() {
  static const std::string path = [] {
    const std::string file = (scratch() / "table.tsv").string();
    std::ofstream out(file);
    out << "sentence\tother\tclass\tscore\n";
    for (int row = 0; row < 60; ++row)
      out << std::string(1 + row * 7 % 19, static_cast<char>('a' + row % 5)) << "\t" << row * 37 << "\t"
          << std::array{"no", "yes", "maybe"}[static_cast<size_t>(row * row % 3 + (row % 7 == 0))] << "\t"
          << (row % 11) / 4.0 << "\n";
    return file;
  }();
  return path;
}

void write_images(const std::string& folder, int count) {
  constexpr int size = 8;
  const std::string number(1, static_cast<char>(count));
  std::ofstream pixels(folder + "/images", std::ios::binary), labels(folder + "/labels", std::ios::binary);
  pixels << std::string("\0\0\x08\x03\0\0\0", 7) << number << std::string("\0\0\0\x08\0\0\0\x08", 8);
  labels << std::string("\0\0\x08\x01\0\0\0", 7) << number;
  for (int image = 0; image < count; ++image) {
    labels << static_cast<char>(image * 3 % 10);
    for (int i = 0; i < size * size; ++i) pixels << static_cast<char>((37 * i + 101 * image + i * i / 7) % 256);
  }
}

// The lines of [data] that read them.
const std::string& images() {
  static const std::string lines = [] {
    const std::string folder = scratch().string();
    write_images(folder, 40);
    return "name = \"idx\"\nfeatures = 64\nimages = \"" + folder + "/images\"\nlabels = \"" + folder + "/labels\"\n";
  }();
  return lines;
}

RunSettings settings_for_test(const std::vector<std::string>& overrides) {
  const bool resnet = std::find(overrides.begin(), overrides.end(), "model.name=resnet") != overrides.end();
  const std::string residual = R"(
[model]
blocks = [1, 1, 1, 1]
widths = [4, 4, 8, 8]
[data]
)" + images() + R"(
held_out = 0.2
)";
  const bool mlp = std::find(overrides.begin(), overrides.end(), "model.name=mlp") != overrides.end();
  const std::string encoder = R"(
[model]
name = "roberta"
layers = 4
width = 16
heads = 2
feed_forward = 32
max_length = 16
dropout = 0.1
[data]
name = "text"
paths = [")" + corpus() + R"("]
sequence_length = 16
held_out = 0.2
)";
  const std::string classifier = R"(
[model]
layers = 4
width = 16
[data]
name = "spirals"
)";
  const std::string labelled = R"(
[model]
name = "roberta"
layers = 4
width = 16
heads = 2
feed_forward = 32
max_length = 32
dropout = 0.1
[data]
name = "labelled"
paths = [")" + table() + R"("]
text = "sentence"
pair = "other"
label = "class"
sequence_length = 28
held_out = 0.3
)";
  const bool labels = std::find(overrides.begin(), overrides.end(), "data.name=labelled") != overrides.end();
  const std::string base = (resnet   ? residual
                            : mlp    ? classifier
                            : labels ? labelled
                                     : encoder) +
                           R"(
[parallel]
stages = 4
microbatches = 3
[optimizer]
warmup_steps = 2
[run]
device = "cpu"
steps = 3
evaluate_every = 0
)";
  RunSettings settings = read_settings(Config::from_text(base, overrides));
  check_settings(settings);
  return settings;
}

std::string new_folder() {
  static std::atomic<int> number{0};
  const fs::path path = scratch() / ("folder" + std::to_string(number++));
  fs::create_directories(path);
  return path.string();
}

TestRun run_on_loopback(const RunSettings& settings, const RunRequest& request, const TransportOver& over) {
  static std::atomic<int> number{0};
  const std::string path = (scratch() / ("weights" + std::to_string(number++) + ".safetensors")).string();
  const auto dataset = make_dataset(settings);
  dataset->open();
  TestRun result;
  const int world = settings.parallel.processes();
  result.counters.resize(world);
  run_loopback(world, [&](Transport& loopback) {
    const std::unique_ptr<Transport> own = over ? over(loopback) : nullptr;
    Transport& transport = own ? *own : loopback;
    TrainerCallbacks callbacks{path, {}, {}};
    if (transport.rank() == 0)
      callbacks.on_step = [&](const StepMetrics& metrics) {
        result.losses.push_back(metrics.loss);
        result.metrics.push_back(metrics);
      };
    RunRequest asked = request;
    if (transport.rank() != 0) asked.resume.clear();  // they hear of it from rank 0
    RunSummary summary = run_rank(settings, transport, dataset, callbacks, asked);
    result.counters[transport.rank()] = transport.counters();
    if (transport.rank() == 0) result.summary = std::move(summary);
  });
  result.weights = SafetensorsFile::open(path);
  result.digest = weights_digest(*result.weights);
  fs::remove(path);  // the map stays readable
  return result;
}

at::Tensor tensor_of(const SafetensorsFile& file, const std::string& name) {
  const TensorEntry* entry = file.find(name);
  if (entry == nullptr) throw std::runtime_error("no tensor " + name);
  const auto bytes = file.bytes(*entry);
  const auto dtype = entry->dtype == "F64" ? at::kDouble : at::kFloat;
  return at::from_blob(const_cast<std::byte*>(bytes.data()), entry->shape, at::TensorOptions().dtype(dtype)).clone();
}

double largest_entry(const at::Tensor& tensor) { return at::max(at::abs(tensor)).item().toDouble(); }

at::Tensor minus(const at::Tensor& a, const at::Tensor& b) { return at::sub(a, b); }

}  // namespace interlock
