// Finds the pieces of a tensor by their names, and proves that they cover it.

#include "runtime/storage/tensor_pieces.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <numeric>
#include <optional>

#include "runtime/core/error.h"

namespace interlock {
namespace {

[[noreturn]] void refuse(const Checkpoint& checkpoint, const std::string& what) {
  throw Error(ExitCode::bad_input, message(checkpoint.folder(), ": ", what));
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t dimension : shape) text += (text.empty() ? "" : ", ") + std::to_string(dimension);
  return "[" + text + "]";
}

std::string range_text(int64_t begin, int64_t end) { return message("[", begin, ", ", end, ")"); }

// "begin:end]", as piece_name writes it.
std::optional<TensorPiece> parse(const TensorEntry& entry, std::string_view range) {
  TensorPiece piece{&entry};
  const char* const last = range.data() + range.size();
  const auto [colon, bad_begin] = std::from_chars(range.data(), last, piece.begin);
  if (bad_begin != std::errc{} || colon == last || *colon != ':') return std::nullopt;
  const auto [bracket, bad_end] = std::from_chars(colon + 1, last, piece.end);
  if (bad_end != std::errc{} || std::string_view(bracket, last) != "]") return std::nullopt;
  return piece.begin >= 0 && piece.begin < piece.end ? std::optional(piece) : std::nullopt;
}

std::vector<TensorPiece> named_pieces(const Checkpoint& checkpoint, const std::string& tensor, int64_t elements) {
  std::vector<TensorPiece> pieces;
  const std::string prefix = tensor + "[";
  for (const TensorEntry* entry : checkpoint.beginning_with(prefix)) {
    const auto piece = parse(*entry, std::string_view(entry->name).substr(prefix.size()));
    if (!piece || piece->end > elements)
      refuse(checkpoint, message(entry->name, " is no piece of ", tensor, ", which has ", elements,
                                 " elements: [begin:end] with 0 <= begin < end <= ", elements, " was expected"));
    if (entry->shape != std::vector{piece->end - piece->begin})
      refuse(checkpoint, message(entry->name, " has shape ", shape_text(entry->shape), ", by its name it has ",
                                 shape_text({piece->end - piece->begin})));
    pieces.push_back(*piece);
  }
  std::ranges::sort(pieces, std::less(), [](const TensorPiece& piece) { return std::pair(piece.begin, piece.end); });
  return pieces;
}

void check_cover(const Checkpoint& checkpoint, const std::string& tensor, const std::vector<TensorPiece>& pieces,
                 int64_t elements) {
  const auto missing = [&](int64_t begin, int64_t end) {
    refuse(checkpoint, message("elements ", range_text(begin, end), " of ", tensor, " are missing: its ", pieces.size(),
                               " pieces do not cover its ", elements, " elements"));
  };
  int64_t covered = 0;
  const TensorPiece* before = nullptr;  // that reaches up to `covered`
  for (const TensorPiece& piece : pieces) {
    if (piece.begin > covered) missing(covered, piece.begin);
    if (piece.begin < covered)
      refuse(checkpoint, message("elements ", range_text(piece.begin, std::min(piece.end, covered)), " of ", tensor,
                                 " stand there twice: in ", before->entry->name, " and in ", piece.entry->name));
    covered = piece.end;
    before = &piece;
  }
  if (covered < elements) missing(covered, elements);
}

}  // namespace

std::string piece_name(const std::string& tensor, int64_t begin, int64_t end) {
  return message(tensor, "[", begin, ":", end, "]");
}

std::vector<TensorPiece> pieces_of(const Checkpoint& checkpoint, const std::string& tensor,
                                   const std::vector<int64_t>& shape) {
  const int64_t elements = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies());
  std::vector<TensorPiece> pieces = named_pieces(checkpoint, tensor, elements);
  const TensorEntry* whole = checkpoint.find(tensor);
  if (whole == nullptr) {
    if (!pieces.empty()) check_cover(checkpoint, tensor, pieces, elements);
    return pieces;
  }
  if (!pieces.empty())
    refuse(checkpoint, message("elements ", range_text(pieces.front().begin, pieces.front().end), " of ", tensor,
                               " stand there twice: in ", tensor, " and in ", pieces.front().entry->name));
  if (whole->shape != shape)
    refuse(checkpoint,
           message(tensor, " has shape ", shape_text(whole->shape), ", needed here is ", shape_text(shape)));
  return {{whole, 0, elements}};
}

}  // namespace interlock
