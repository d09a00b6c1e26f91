#include "runtime/data/labelled/labelled_source.h"

#include <filesystem>

namespace interlock {

LabelledSource::LabelledSource(const DatasetSettings& settings)
    : data_(settings.data), settings_(LabelledSettings::from(settings)) {
  // Where the files of a run are not, a plan is made all the same; open() says what is missing.
  const std::string& path = settings_.tokenizer_path;
  if (path.empty() || (settings.looks_at_files && std::filesystem::exists(path))) take_tokenizer();
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

}  // namespace interlock
