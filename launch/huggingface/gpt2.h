#pragma once
// Folders of Hugging Face's GPT2LMHeadModel.

#include "launch/huggingface/folder_model.h"

namespace interlock {

FolderModel read_gpt2(const std::string& config_path);
FolderModel gpt2_of(const TextModel& source);

}  // namespace interlock
