#pragma once
// The config that lies beside a model taken over from Hugging Face, so that it trains on without one being written.

#include <string>

#include "launch/huggingface/folder_model.h"

namespace interlock {

// TOML for `interlock train` and `plan`: the model's own keys, its tokenizer and weights in `folder` (made absolute),
// and a plain recipe for the rest. Where the data lies nobody knows but the reader: data.paths names files to be made.
std::string start_config(const FolderModel& model, const std::string& folder);

}  // namespace interlock
