// Forgets the map that was used longest ago.

#include "runtime/data/file_cache.h"

#include "runtime/core/error.h"

namespace interlock {

std::shared_ptr<const MappedFile> FileCache::get(const CorpusFile& file) const {
  const std::lock_guard lock(mutex_);
  const auto found = places_.find(file.path);
  if (found != places_.end()) {
    recent_.splice(recent_.begin(), recent_, found->second);
    return recent_.front().second;
  }
  auto mapped = std::make_shared<const MappedFile>(file.path);
  if (mapped->bytes().size() != static_cast<size_t>(file.size)) {
    throw Error(ExitCode::bad_input, message(file.path, " changed while it was in use: it had ", file.size,
                                             " bytes and has ", mapped->bytes().size()));
  }
  recent_.emplace_front(file.path, mapped);
  places_[file.path] = recent_.begin();
  if (recent_.size() > most_) {
    places_.erase(recent_.back().first);
    recent_.pop_back();
  }
  return mapped;
}

}  // namespace interlock
