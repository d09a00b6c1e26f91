#pragma once
// A model as a folder of Hugging Face's holds it, whatever its family: all that copying one either way needs to know,
// so that no model is built to copy one. A family is a row of the two tables in folder_model.cpp.

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "launch/stored_model/model_source.h"
#include "runtime/data/tokenizer.h"
#include "runtime/storage/safetensors.h"

namespace interlock {

struct FolderTensor {
  std::string name;                       // there and here
  std::vector<int64_t> shape;             // there
  bool turned = false;                    // there [inputs, outputs] (Conv1D), here [outputs, inputs]
  std::vector<std::string> or_else = {};  // names that older files have for it

  std::vector<int64_t> shape_here() const { return turned ? std::vector<int64_t>{shape[1], shape[0]} : shape; }
};

struct FolderModel {
  std::string architecture;  // the class of transformers that opens it
  std::vector<FolderTensor> tensors;
  // Tensors that a file may hold all the same, as equals of others: (name, the other).
  std::vector<std::pair<std::string, std::string>> tied;
  std::function<bool(const std::string& tensor)> is_harmless;  // what files hold that the model does not need
  std::string readout =
      {};  // how the names of its readout begin, which files of an encoder alone lack; "": none lacks it
  std::string word_table;  // whose type is that of the file
  int64_t vocabulary = 0, max_length = 0;
  bool reads_bytes = false;  // no tokenizer belongs to it
  std::vector<std::string> labels = {};
  std::string interlock_config;  // [model], [data] and what else a run of it says, as TOML
  // config.json, for tensors of a type as safetensors call it; `end`: the token behind a document.
  std::function<std::string(const std::string& dtype, int64_t end)> config;
  std::function<void(const Tokenizer& tokenizer, const std::string& folder)> check_tokenizer;  // Error(bad_input)
  std::string tokenizer_class;
  bool framed = true;     // texts stand between <s> and </s>
  std::string note = {};  // what whoever opens it in transformers has to know
};

// Of a config.json, by its "model_type". Error(bad_input) names the file, the key, what was found, and what is
// supported.
FolderModel read_folder_model(const std::string& config_path);
// Of a model of ours. Error(config) when Hugging Face have none of its family.
FolderModel folder_model_of(const TextModel& source);

}  // namespace interlock
