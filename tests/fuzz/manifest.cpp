// The manifest of a checkpoint: as it stands, which its hash makes nearly hopeless, and sealed with the right hash.
// What is accepted prints and reads back to the same, and names files that lie beside it.
#include "runtime/storage/checkpoint_manifest.h"

#include <nlohmann/json.hpp>

#include "runtime/core/config.h"
#include "tests/fuzz/target.h"

using namespace interlock;

namespace {

bool same(const CheckpointFile& a, const CheckpointFile& b) {
  return a.name == b.name && a.bytes == b.bytes && a.sha256 == b.sha256;
}

// Against a reader of JSON that knows nothing of manifests.
void check_meaning(const CheckpointManifest& manifest, std::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(text);
  fuzz::require(json["step"] == manifest.step && json["config"] == manifest.config && json["state"] == manifest.state,
                "a manifest means what it says");
  fuzz::require(json["files"].size() == manifest.files.size(), "all files are read");
  for (size_t i = 0; i < manifest.files.size(); ++i) {
    const CheckpointFile& file = manifest.files[i];
    const nlohmann::json& said = json["files"][i];
    fuzz::require(said["name"] == file.name && said["bytes"] == file.bytes && said["sha256"] == file.sha256,
                  "a file is read as it is said");
  }
}

void check(std::string_view text, const std::string& name) {
  const CheckpointManifest manifest = parse_manifest(text, name);
  check_meaning(manifest, text);
  fuzz::require(manifest.step >= 0, "a step is not negative");
  for (const CheckpointFile& file : manifest.files) {
    fuzz::require(!file.name.empty() && file.name.find('/') == std::string::npos && file.name[0] != '.',
                  "a file lies beside the manifest");
    fuzz::require(file.sha256.size() == 64, "a file has a hash");
  }
  fuzz::accepts(ExitCode::config, [&] { Config::from_text(manifest.config); });  // which verification did not blame
  CheckpointManifest again;
  fuzz::require(
      fuzz::accepts(ExitCode::bad_input, [&] { again = parse_manifest(print_manifest(manifest), "printed.json"); }),
      "a printed manifest reads back");
  fuzz::require(
      again.step == manifest.step && again.config == manifest.config && again.state == manifest.state &&
          std::equal(again.files.begin(), again.files.end(), manifest.files.begin(), manifest.files.end(), same),
      "a manifest reads back to the same");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  fuzz::accepts(ExitCode::bad_input, [&] { check(text, "input.json"); });
  if (text.find('}') == std::string_view::npos) return 0;  // sealed() is for objects
  fuzz::accepts(ExitCode::bad_input, [&] { check(sealed(std::string(text)), "sealed.json"); });
  return 0;
}
