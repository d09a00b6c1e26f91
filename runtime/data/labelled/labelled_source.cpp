#include "runtime/data/labelled/labelled_source.h"

#include <filesystem>
#include <map>
#include <mutex>
#include <string>

#include "runtime/core/error.h"

namespace interlock {
namespace {

// A process asks for the classes of one table many times (settings are checked, plans are made) before it opens it.
LabelSet classes_once(const LabelledRequest& request) {
  static std::mutex mutex;
  static std::map<std::string, LabelSet> known;
  std::string key = message(request.text, '\n', request.pair, '\n', request.label, '\n',
                            request.header ? (*request.header ? "header" : "none") : "");
  for (const std::string& path : request.paths) {
    std::error_code absent;
    const auto size = std::filesystem::file_size(path, absent);
    const auto time = std::filesystem::last_write_time(path, absent);
    if (absent) return {};
    key += message('\n', path, '\n', size, '\n', time.time_since_epoch().count());
  }
  const std::lock_guard lock(mutex);
  const auto found = known.find(key);
  return found != known.end() ? found->second : known.emplace(key, classes_in_files(request)).first->second;
}

}  // namespace

LabelledSource::LabelledSource(const DatasetSettings& settings)
    : data_(settings.data), settings_(LabelledSettings::from(settings)), looks_at_files_(settings.looks_at_files) {
  // Where the files of a run are not, a plan is made all the same; open() says what is missing.
  const std::string& path = settings_.tokenizer_path;
  if (path.empty() || (looks_at_files_ && std::filesystem::exists(path))) take_tokenizer();
}

void LabelledSource::take_tokenizer() {
  const std::string& path = settings_.tokenizer_path;
  encoder_.emplace(path.empty() ? nullptr : Tokenizer::open(path), path);
}

void LabelledSource::open() {
  settings_.require(data_);
  if (!encoder_) take_tokenizer();
  texts_.emplace(settings_.request, *encoder_);
}

const std::vector<std::string>& LabelledSource::classes() const {
  if (texts_) return texts_->classes().names();
  const LabelledRequest& request = settings_.request;
  if (!request.classes.empty() || request.objective != Objective::classification || !looks_at_files_)
    return request.classes;
  if (!in_files_) in_files_ = classes_once(request);
  return in_files_->names();
}

}  // namespace interlock
