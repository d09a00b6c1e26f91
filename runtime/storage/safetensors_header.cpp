// Reads a header event by event, so that a hostile one is refused at its first broken rule and never becomes a tree in
// memory; then proves that the tensors cover the data exactly.

#include "runtime/storage/safetensors_header.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "runtime/core/error.h"
#include "runtime/storage/dtype.h"

namespace interlock {
namespace {

constexpr size_t most_dimensions = 64, most_tensors = 1'000'000, most_name_bytes = 1024;

// A name as a message shows it: it may be long or hold control characters.
std::string shown(const std::string& name) {
  std::string text;
  for (const char c : name.substr(0, 80)) {
    text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return '"' + text + (name.size() > 80 ? "...\"" : "\"");
}

class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(SafetensorsHeader& header) : header_(header) {}
  const std::string& reason() const { return reason_; }

  bool null() override { return refuse_value(); }
  bool boolean(bool) override { return refuse_value(); }
  bool number_integer(number_integer_t) override { return refuse("a number is negative"); }
  bool number_float(number_float_t, const string_t&) override {
    return refuse("a number is no integer of at most 64 bits");
  }
  bool binary(binary_t&) override { return refuse_value(); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::shape && place_ != Place::offsets) return refuse_value();
    if (place_ == Place::offsets) {
      if (offsets_.size() == 2) return refuse("data_offsets has more than 2 numbers");
      offsets_.push_back(value);
      return true;
    }
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return refuse("a dimension is above 2^63 - 1");
    if (entry_.shape.size() == most_dimensions) return refuse("more than 64 dimensions");
    entry_.shape.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::metadata) {
      if (header_.metadata.size() == most_tensors) return refuse("more than 1,000,000 entries in __metadata__");
      if (!header_.metadata.emplace(key_, value).second) return refuse("__metadata__ holds " + shown(key_) + " twice");
      return true;
    }
    if (place_ != Place::entry || key_ != "dtype") return refuse_value();
    if (dtype_rank(value) < 0) return refuse("unknown dtype " + shown(value));
    entry_.dtype = value;
    return true;
  }

  bool start_object(size_t) override {
    switch (place_) {
      case Place::outside:
        place_ = Place::top;
        return true;
      case Place::top:
        if (key_ == "__metadata__") {
          if (metadata_seen_) return refuse("__metadata__ stands twice");
          metadata_seen_ = true;
          place_ = Place::metadata;
          return true;
        }
        if (header_.tensors.size() == most_tensors) return refuse("more than 1,000,000 tensors");
        if (key_.size() > most_name_bytes) return refuse("a tensor's name is longer than 1024 bytes");
        entry_ = TensorEntry{};
        entry_.name = key_;
        offsets_.clear();
        has_dtype_ = has_shape_ = has_offsets_ = false;
        place_ = Place::entry;
        return true;
      default:
        return refuse("objects are nested too deep");
    }
  }

  bool key(string_t& value) override {
    if (place_ == Place::entry) {
      bool* seen = value == "dtype"          ? &has_dtype_
                   : value == "shape"        ? &has_shape_
                   : value == "data_offsets" ? &has_offsets_
                                             : nullptr;
      if (seen == nullptr) return refuse("unknown field " + shown(value));
      if (*seen) return refuse("field " + shown(value) + " stands twice");
      *seen = true;
    }
    key_ = value;
    return true;
  }

  bool end_object() override {
    if (place_ == Place::entry) {
      if (!has_dtype_ || !has_shape_ || !has_offsets_) return refuse("dtype, shape or data_offsets is missing");
      if (offsets_.size() != 2) return refuse("data_offsets has fewer than 2 numbers");
      entry_.begin = offsets_[0];
      entry_.end = offsets_[1];
      header_.tensors.push_back(std::move(entry_));
      entry_ = TensorEntry{};
    }
    place_ = place_ == Place::top ? Place::outside : Place::top;
    return true;
  }

  bool start_array(size_t) override {
    if (place_ != Place::entry || (key_ != "shape" && key_ != "data_offsets")) return refuse_value();
    place_ = key_ == "shape" ? Place::shape : Place::offsets;
    return true;
  }
  bool end_array() override {
    place_ = Place::entry;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    // The parser's own sentence quotes the header, which may be huge or unprintable.
    reason_ = message("the header is not valid UTF-8 JSON at its byte ", position);
    return false;
  }

 private:
  enum class Place { outside, top, metadata, entry, shape, offsets };

  bool refuse(const std::string& what) {
    const bool inside = place_ == Place::entry || place_ == Place::shape || place_ == Place::offsets;
    reason_ = inside ? "tensor " + shown(entry_.name) + ": " + what : what;
    return false;
  }
  bool refuse_value() {
    return refuse(place_ == Place::outside ? "the header is no JSON object"
                                           : "the value of " + shown(key_) + " has the wrong type");
  }

  SafetensorsHeader& header_;
  std::string reason_, key_;
  Place place_ = Place::outside;
  TensorEntry entry_;
  std::vector<uint64_t> offsets_;
  bool metadata_seen_ = false, has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
};

std::optional<uint64_t> checked_product(uint64_t a, uint64_t b) {
  uint64_t product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// Bytes of a tensor, or nothing when a product leaves 64 bits or the bits are no whole number of bytes.
std::optional<uint64_t> tensor_bytes(const TensorEntry& tensor) {
  std::optional<uint64_t> count = 1;
  for (const int64_t dimension : tensor.shape) {
    count = checked_product(*count, static_cast<uint64_t>(dimension));
    if (!count) return std::nullopt;
  }
  const auto bits = checked_product(*count, static_cast<uint64_t>(dtype_bits(tensor.dtype)));
  if (!bits || *bits % 8 != 0) return std::nullopt;
  return *bits / 8;
}

// Sorted by place, each tensor begins where the one before ended, from 0 to the end of the data: no hole, overlap or
// tail.
void check_coverage(std::vector<TensorEntry>& tensors, uint64_t data_size, const std::string& path) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  uint64_t expected = 0;
  for (const TensorEntry& tensor : tensors) {
    const auto refuse = [&](const std::string& what) {
      throw Error(ExitCode::bad_input, message(path, ": tensor ", shown(tensor.name), ": ", what));
    };
    if (tensor.begin != expected) {
      refuse(message(tensor.begin < expected ? "overlaps another" : "leaves a hole", ": begins at byte ", tensor.begin,
                     " of the data, expected ", expected));
    }
    const auto size = tensor_bytes(tensor);
    if (!size) refuse("its shape and dtype give no whole number of bytes below 2^64");
    if (tensor.end < tensor.begin || tensor.end - tensor.begin != *size) {
      refuse(
          message("shape and dtype need ", *size, " bytes, data_offsets are [", tensor.begin, ", ", tensor.end, "]"));
    }
    if (tensor.end > data_size) {
      refuse(message("ends at byte ", tensor.end, " of the data, the file holds ", data_size, " (truncated?)"));
    }
    expected = tensor.end;
  }
  if (expected != data_size) {
    throw Error(ExitCode::bad_input,
                message(path, ": the tensors end at byte ", expected, " of the data, the file holds ", data_size,
                        ": bytes that belong to no tensor"));
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_size, const std::string& path) {
  const auto refuse = [&](const std::string& what) { throw Error(ExitCode::bad_input, message(path, ": ", what)); };
  if (json.empty() || json.front() != '{') refuse("the header does not begin with `{`: no safetensors file");
  // The parser takes a zero byte for the end of its input, which would hide what follows.
  if (json.find('\0') != std::string_view::npos) refuse("the header holds a zero byte");

  SafetensorsHeader header;
  HeaderReader reader(header);
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &reader)) refuse(reader.reason());
  check_coverage(header.tensors, data_size, path);
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const TensorEntry& a, const TensorEntry& b) { return a.name < b.name; });
  for (size_t i = 1; i < header.tensors.size(); ++i) {
    if (header.tensors[i].name == header.tensors[i - 1].name) {
      refuse("tensor " + shown(header.tensors[i].name) + " stands twice");
    }
  }
  return header;
}

std::string layout_safetensors(std::vector<TensorEntry>& tensors, const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorEntry& a, const TensorEntry& b) {
    const int rank_a = dtype_rank(a.dtype), rank_b = dtype_rank(b.dtype);
    return rank_a != rank_b ? rank_a > rank_b : a.name < b.name;
  });
  nlohmann::ordered_json header;
  header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (TensorEntry& tensor : tensors) {
    const auto size = tensor_bytes(tensor);
    assert(size && "a tensor to write has a size that no memory holds");
    tensor.begin = offset;
    tensor.end = offset += *size;
    header[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {tensor.begin, tensor.end}}};
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace interlock
