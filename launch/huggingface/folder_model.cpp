#include "launch/huggingface/folder_model.h"

#include <map>

#include "launch/huggingface/config_reader.h"
#include "launch/huggingface/gpt2.h"
#include "launch/huggingface/huggingface.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

// GPT-2's vocabulary is smaller than RoBERTa's and has other ids: taken for it, every word would be another one.
void check_roberta_tokenizer(const Tokenizer& tokenizer, const std::string& folder) {
  const Tokenizer::Specials specials = tokenizer.specials();
  if (specials.begin != 0 || specials.pad != 1 || specials.end != 2 || specials.mask < 0)
    throw Error(ExitCode::bad_input,
                message(folder, ": no tokenizer of a RoBERTa: <s>, <pad>, </s> and <mask> are its tokens ",
                        specials.begin, ", ", specials.pad, ", ", specials.end, " and ", specials.mask,
                        " (-1: none), where the first three must be 0, 1 and 2"));
}

FolderModel of_roberta(const RobertaShape& shape) {
  FolderModel model;
  model.architecture = architecture_of(shape);
  for (TensorEntry& tensor : huggingface_tensors(shape)) {
    FolderTensor one{.name = tensor.name, .shape = std::move(tensor.shape)};
    // Untied, older files hold the decoder's bias under one of its names.
    if (one.name == "lm_head.bias" && !shape.tied) one.or_else = {"lm_head.decoder.bias"};
    if (one.name == "lm_head.decoder.bias") one.or_else = {"lm_head.bias"};
    // Of the class of the encoder alone, names have no prefix.
    if (one.name.starts_with(shape.root() + ".")) one.or_else.push_back(one.name.substr(shape.root().size() + 1));
    model.tensors.push_back(std::move(one));
  }
  model.word_table = shape.root() + ".embeddings.word_embeddings.weight";
  if (shape.tied) model.tied = {{"lm_head.decoder.weight", model.word_table}, {"lm_head.decoder.bias", "lm_head.bias"}};
  // A buffer of old versions, and the pooler of the pretraining of others.
  model.is_harmless = [root = shape.root()](const std::string& name) {
    return name.ends_with("embeddings.position_ids") || name.starts_with(root + ".pooler.") ||
           name.starts_with("pooler.");
  };
  if (shape.objective == Objective::masked) model.readout = "lm_head.";
  model.vocabulary = shape.vocabulary;
  model.reads_bytes = shape.bytes;
  model.max_length = shape.max_length;
  model.labels = shape.labels;
  model.interlock_config = interlock_config(shape);
  model.config = [shape](const std::string& dtype, int64_t) { return huggingface_config(shape, dtype); };
  model.check_tokenizer = check_roberta_tokenizer;
  model.tokenizer_class = "RobertaTokenizer";
  return model;
}

FolderModel read_roberta(const std::string& path) { return of_roberta(read_huggingface_config(path)); }

FolderModel roberta_of(const TextModel& source) { return of_roberta(shape_of(source)); }

}  // namespace

FolderModel read_folder_model(const std::string& config_path) {
  static const std::map<std::string, FolderModel (*)(const std::string&)> families = {
      {"roberta", read_roberta}, {"roberta-prelayernorm", read_roberta}, {"gpt2", read_gpt2}};
  const ConfigReader reader(config_path);
  const nlohmann::json* type = reader.find("model_type");
  const auto found = families.find(type != nullptr && type->is_string() ? type->get<std::string>() : "");
  return found == families.end() ? read_roberta(config_path) : found->second(config_path);  // which says what there is
}

FolderModel folder_model_of(const TextModel& source) {
  static const std::map<std::string, FolderModel (*)(const TextModel&)> families = {{"roberta", roberta_of},
                                                                                    {"gpt", gpt2_of}};
  const auto found = families.find(source.settings.model_name);
  if (found != families.end()) return found->second(source);
  std::vector<std::string> known;
  for (const auto& [name, family] : families) known.push_back(name);
  throw Error(ExitCode::config, message("the model is \"", source.settings.model_name,
                                        "\"; Hugging Face's format is there for ", join(known), " only"));
}

}  // namespace interlock
