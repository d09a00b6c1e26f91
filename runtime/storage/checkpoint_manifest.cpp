// Reads a manifest event by event: what is unknown, given twice, of the wrong type or too much is refused where it
// stands.

#include "runtime/storage/checkpoint_manifest.h"

#include <algorithm>
#include <cctype>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/core/error.h"
#include "runtime/core/toml_depth.h"
#include "runtime/storage/sha256.h"

namespace interlock {
namespace {

constexpr const char* format = "interlock checkpoint";
constexpr uint64_t version = 1;
constexpr size_t most_files = 100'000, most_state = 100'000, most_name_bytes = 200, hash_digits = 64;
constexpr std::string_view seal_begin = ",\n  \"sha256\": \"", seal_end = "\"\n}\n";

std::string shown(const std::string& text) {
  std::string clean = text.substr(0, 80);
  std::replace_if(
      clean.begin(), clean.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return '"' + clean + (text.size() > 80 ? "...\"" : "\"");
}

// A component of a path that leads nowhere else, hides nothing, and is the same on every file system.
bool is_plain(const std::string& name) {
  const auto allowed = [](unsigned char c) {
    return c < 0x80 && (std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.');
  };
  return name.size() <= most_name_bytes && name.ends_with(".safetensors") && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), allowed);
}

bool is_hash(const std::string& text) {
  return text.size() == hash_digits &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

class ManifestReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit ManifestReader(CheckpointManifest& manifest) : manifest_(manifest) {}
  const std::string& reason() const { return reason_; }

  bool null() override { return refuse_value(); }
  bool boolean(bool) override { return refuse_value(); }
  bool number_integer(number_integer_t) override { return refuse("the value of " + shown(key_) + " is negative"); }
  bool number_float(number_float_t, const string_t&) override { return refuse_value(); }
  bool binary(binary_t&) override { return refuse_value(); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::file && key_ == "bytes") {
      manifest_.files.back().bytes = value;
      return true;
    }
    if (place_ != Place::top) return refuse_value();
    if (key_ == "version") {
      return value == version || refuse(message("it has format version ", value, ", and this program reads version ",
                                                version, ": use the program that wrote it, or a newer one"));
    }
    if (key_ != "step") return refuse_value();
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return refuse("the step is above 2^63 - 1");
    manifest_.step = static_cast<int64_t>(value);
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::state) {
      manifest_.state[key_] = value;
      return true;
    }
    if (place_ == Place::file && key_ == "name") {
      if (!is_plain(value)) return refuse("the file name " + shown(value) + " is not a plain NAME.safetensors");
      manifest_.files.back().name = value;
      return true;
    }
    if (place_ == Place::file && key_ == "sha256") {
      manifest_.files.back().sha256 = value;
      return is_hash(value) || refuse("the sha256 of " + shown(manifest_.files.back().name) + " is no SHA-256");
    }
    if (place_ != Place::top) return refuse_value();
    if (key_ == "config") manifest_.config = value;
    if (key_ == "format" && value != format) return refuse("its format is " + shown(value) + ", not a checkpoint's");
    return key_ == "config" || key_ == "format" || key_ == "sha256" || refuse_value();
  }

  bool start_object(size_t) override {
    seen_[place_ == Place::outside ? 0 : 1].clear();
    if (place_ == Place::outside) {
      place_ = Place::top;
    } else if (place_ == Place::top && key_ == "state") {
      place_ = Place::state;
    } else if (place_ == Place::files) {
      if (manifest_.files.size() == most_files) return refuse("more than 100,000 files");
      manifest_.files.emplace_back();
      place_ = Place::file;
    } else {
      return refuse_value();
    }
    return true;
  }

  bool key(string_t& value) override {
    static const std::set<std::string> top = {"format", "version", "step", "config", "state", "files", "sha256"};
    static const std::set<std::string> file = {"name", "bytes", "sha256"};
    std::set<std::string>& seen = seen_[place_ == Place::top ? 0 : 1];
    if ((place_ == Place::top && !top.contains(value)) || (place_ == Place::file && !file.contains(value)))
      return refuse("unknown field " + shown(value));
    if (place_ == Place::state && seen.size() == most_state) return refuse("more than 100,000 entries in state");
    if (!seen.insert(value).second) return refuse("field " + shown(value) + " stands twice");
    key_ = value;
    return true;
  }

  bool end_object() override {
    switch (place_) {
      case Place::file:
        place_ = Place::files;
        return seen_[1].size() == 3 || refuse("name, bytes or sha256 of a file is missing");
      case Place::state:
        place_ = Place::top;
        return true;
      default:
        place_ = Place::outside;
        return seen_[0].size() == 7 || refuse("format, version, step, config, state or files is missing");
    }
  }

  bool start_array(size_t) override {
    if (place_ != Place::top || key_ != "files") return refuse_value();
    place_ = Place::files;
    return true;
  }
  bool end_array() override {
    place_ = Place::top;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    reason_ = message("it is not valid UTF-8 JSON at its byte ", position);
    return false;
  }

 private:
  enum class Place { outside, top, state, files, file };

  bool refuse(const std::string& what) {
    reason_ = what;
    return false;
  }
  bool refuse_value() {
    return refuse(place_ == Place::outside ? "it is no JSON object"
                                           : "the value of " + shown(key_) + " has the wrong type");
  }

  CheckpointManifest& manifest_;
  std::string reason_, key_;
  Place place_ = Place::outside;
  std::set<std::string> seen_[2];  // fields of the object, and of the one inside it
};

std::string hash_of(std::string_view text) {
  Sha256 digest;
  digest.add(std::as_bytes(std::span(text)));
  return digest.hex();
}

// Empty when the text ends with its own hash.
std::string seal_problem(std::string_view text) {
  const size_t seal = seal_begin.size() + hash_digits + seal_end.size();
  if (text.size() < seal) return "it is too short to be the manifest of a checkpoint (truncated?)";
  const std::string_view body = text.substr(0, text.size() - seal), end = text.substr(body.size());
  if (!end.starts_with(seal_begin) || !end.ends_with(seal_end))
    return "it does not end with its own hash: truncated, changed, or no manifest of a checkpoint";
  if (end.substr(seal_begin.size(), hash_digits) != hash_of(body))
    return "it does not fit its own hash: it was changed";
  return "";
}

}  // namespace

std::string sealed(std::string object) {
  object.erase(object.find_last_of('}'));
  object.erase(object.find_last_not_of("\n ") + 1);
  const std::string hash = hash_of(object);
  return object.append(seal_begin).append(hash).append(seal_end);
}

std::string print_manifest(const CheckpointManifest& manifest) {
  nlohmann::ordered_json json = {{"format", format}, {"version", version}, {"step", manifest.step}};
  json["config"] = manifest.config;
  json["state"] = manifest.state;
  json["files"] = nlohmann::ordered_json::array();
  for (const CheckpointFile& file : manifest.files)
    json["files"].push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  try {
    const std::string text = sealed(json.dump(2));
    parse_manifest(text, manifest_name);  // what our own reader would refuse later is told now
    return text;
  } catch (const nlohmann::json::exception&) {
    throw Error(ExitCode::cannot_write, "cannot write the manifest of a checkpoint: its config or state is not UTF-8");
  } catch (const Error& error) {
    throw Error(ExitCode::cannot_write, message("cannot write the manifest of a checkpoint: ", error.what()));
  }
}

CheckpointManifest parse_manifest(std::string_view text, const std::string& name) {
  const auto refuse = [&](const std::string& what) { throw Error(ExitCode::bad_input, message(name, ": ", what)); };
  if (text.size() > manifest_limit) refuse(message("it is longer than ", manifest_limit, " bytes"));
  const std::string problem = seal_problem(text);
  if (!problem.empty()) refuse(problem);
  // The parser takes a zero byte for the end of its input, which would hide what follows.
  if (text.find('\0') != std::string_view::npos) refuse("it holds a zero byte");
  CheckpointManifest manifest;
  ManifestReader reader(manifest);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &reader)) refuse(reader.reason());
  try {
    check_toml_depth(manifest.config, "its config");
  } catch (const Error& too_deep) {
    refuse(too_deep.what());
  }
  const auto by_name = [](const CheckpointFile& a, const CheckpointFile& b) { return a.name < b.name; };
  if (!std::is_sorted(manifest.files.begin(), manifest.files.end(), by_name))
    refuse("its files are not sorted by name");
  for (size_t i = 1; i < manifest.files.size(); ++i) {
    if (manifest.files[i].name == manifest.files[i - 1].name)
      refuse("the file " + shown(manifest.files[i].name) + " stands twice");
  }
  return manifest;
}

}  // namespace interlock
