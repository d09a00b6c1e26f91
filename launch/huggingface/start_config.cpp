#include "launch/huggingface/start_config.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "launch/stored_model/stored_run.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;  // texts and lists of them are written in JSON as in TOML

constexpr int64_t samples_of_finetuning = 128;  // tokens, as `finetune` has it

std::string quoted_path(const fs::path& path) {
  return json(fs::absolute(path).lexically_normal().string()).dump(-1, ' ', false, json::error_handler_t::replace);
}

// Every key that config.json does not decide.
void add_recipe(std::map<std::string, std::string>& values, const FolderModel& model, const fs::path& folder) {
  if (!model.reads_bytes) values["tokenizer.path"] = quoted_path(folder / "tokenizer");
  values["data.held_out"] = "0.05";
  if (values["data.name"] == "'labelled'" || values["data.name"] == "\"labelled\"") {
    values["data.paths"] = json({"train.tsv"}).dump();
    values["data.text"] = json("text").dump();
    values["data.label"] = json("label").dump();
    if (!model.labels.empty()) values["data.labels"] = json(model.labels).dump();
    values["data.sequence_length"] = std::to_string(std::min(samples_of_finetuning, model.max_length));
  } else {
    values["data.paths"] = json({model.reads_bytes ? "train.txt" : "tokens/train"}).dump();
  }
  values["learning.rule"] = json("global").dump();
  for (const char* key : {"parallel.stages", "parallel.ranks", "parallel.microbatch_size"}) values[key] = "1";
  values["parallel.microbatches"] = "8";
  values["optimizer.name"] = json("adamw").dump();
  values["optimizer.learning_rate"] = "2e-5";
  values["optimizer.warmup_steps"] = "60";
  values["optimizer.decay"] = json("linear").dump();
  values["run.steps"] = "1000";
  values["run.evaluate_every"] = "100";
  values["run.weights"] = quoted_path(folder);
  values["run.folder"] =
      json("runs/" + fs::absolute(folder / "").lexically_normal().parent_path().filename().string()).dump();
}

}  // namespace

std::string start_config(const FolderModel& model, const std::string& folder) {
  std::map<std::string, std::string> values = config_values(model.interlock_config, "config.toml");
  add_recipe(values, model, folder);
  std::string text =
      "# A run that trains this model on. data.paths is yours to name: tokens as `interlock tokenize encode` writes "
      "them\n"
      "# with the tokenizer below, texts of a model that reads bytes, or tables of labelled texts. The rest is a "
      "plain\n"
      "# start; launch/configs/tiny.toml explains every key.\n";
  for (const std::string section :
       {"model", "tokenizer", "data", "objective", "learning", "parallel", "optimizer", "run"}) {
    std::string lines;
    for (const auto& [key, value] : values)
      if (key.starts_with(section + ".")) lines += key.substr(section.size() + 1) + " = " + value + "\n";
    if (!lines.empty()) text += "\n[" + section + "]\n" + lines;
  }
  return text;
}

}  // namespace interlock
