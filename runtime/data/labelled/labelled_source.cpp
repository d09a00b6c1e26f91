#include "runtime/data/labelled/labelled_source.h"

#include <filesystem>

namespace interlock {

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
  if (!in_files_) in_files_ = classes_in_files(request);
  return in_files_->names();
}

}  // namespace interlock
