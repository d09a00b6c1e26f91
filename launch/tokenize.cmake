# `interlock tokenize`; nothing of it computes with tensors.
interlock_library(interlock_tokenize
  SOURCES amount_progress.cpp interruption.cpp tokenize_decode.cpp tokenize_encode.cpp tokenize_input.cpp
    tokenize_train.cpp
  LINK interlock_data interlock_tokenizer interlock_token_files interlock_observe interlock_storage interlock_core
    nlohmann_json::nlohmann_json)
