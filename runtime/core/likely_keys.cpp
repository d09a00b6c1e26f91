// A table, and nothing else: arguments of transformers' TrainingArguments and configs, fairseq, Megatron-LM and
// nanoGPT.
#include "runtime/core/likely_keys.h"

#include <algorithm>
#include <map>

namespace interlock {
namespace {

std::map<std::string, std::string> key_table() {
  const std::string learning_rate = "optimizer.learning_rate";
  const std::string samples =
      "parallel.microbatch_size (a step takes microbatch_size x parallel.microbatches x parallel.replicas samples)";
  const std::string microbatches = "parallel.microbatches";
  const std::string steps = "run.steps";
  const std::string epochs = "run.steps (training is counted in steps, not in epochs)";
  const std::string width = "model.width";
  const std::string layers = "model.layers";
  const std::string heads = "model.heads";
  const std::string feed_forward = "model.feed_forward";
  const std::string vocabulary = "model.vocabulary";
  const std::string longest = "model.max_length";
  const std::string dropout = "model.dropout";
  const std::string length = "data.sequence_length";
  const std::string paths = "data.paths";
  const std::string held_out = "data.validation_paths";
  const std::string tokenizer = "tokenizer.path";
  const std::string mask = "objective.mask_rate";
  const std::string warmup = "optimizer.warmup_steps";
  const std::string decay = "optimizer.decay";
  const std::string clip = "optimizer.clip";
  const std::string folder = "run.folder";
  const std::string evaluations = "run.evaluate_every";
  const std::string checkpoints = "checkpoint.every";
  const std::string precision = "run.precision";
  const std::string recompute = "run.recompute";
  const std::string start = "run.weights";
  const std::string ranks = "parallel.ranks";
  const std::string replicas = "parallel.replicas";
  const std::string stages = "parallel.stages";
  const std::string shards = "parallel.shard_optimizer";
  return {
      {"lr", learning_rate},
      {"learning_rate", learning_rate},
      {"max_lr", learning_rate},
      {"peak_lr", learning_rate},
      {"weight_decay", "optimizer.weight_decay"},
      {"momentum", "optimizer.momentum"},
      {"adam_beta1", "optimizer.beta1"},
      {"adam_beta2", "optimizer.beta2"},
      {"adam_epsilon", "optimizer.epsilon"},
      {"adam_eps", "optimizer.epsilon"},
      {"eps", "optimizer.epsilon"},
      {"optim", "optimizer.name"},
      {"warmup", warmup},
      {"warmup_steps", warmup},
      {"num_warmup_steps", warmup},
      {"warmup_ratio", warmup},
      {"warmup_iters", warmup},
      {"warmup_updates", warmup},
      {"scheduler", decay},
      {"lr_scheduler", decay},
      {"lr_scheduler_type", decay},
      {"lr_decay_style", decay},
      {"min_lr", "optimizer.floor"},
      {"clip", clip},
      {"grad_clip", clip},
      {"clip_grad", clip},
      {"clip_norm", clip},
      {"gradient_clipping", clip},
      {"max_grad_norm", clip},
      {"batch_size", samples},
      {"train_batch_size", samples},
      {"micro_batch_size", samples},
      {"per_device_train_batch_size", samples},
      {"global_batch_size", samples},
      {"num_microbatches", microbatches},
      {"gradient_accumulation", microbatches},
      {"gradient_accumulation_steps", microbatches},
      {"grad_accum", microbatches},
      {"update_freq", microbatches},
      {"epochs", epochs},
      {"num_epochs", epochs},
      {"max_epochs", epochs},
      {"max_epoch", epochs},
      {"num_train_epochs", epochs},
      {"steps", steps},
      {"max_steps", steps},
      {"num_steps", steps},
      {"train_steps", steps},
      {"train_iters", steps},
      {"max_iters", steps},
      {"iterations", steps},
      {"max_update", steps},
      {"hidden_size", width},
      {"hidden_dim", width},
      {"d_model", width},
      {"embed_dim", width},
      {"n_embd", width},
      {"width", width},
      {"layers", layers},
      {"num_layers", layers},
      {"num_hidden_layers", layers},
      {"encoder_layers", layers},
      {"n_layer", layers},
      {"n_layers", layers},
      {"depth", layers},
      {"heads", heads},
      {"num_heads", heads},
      {"num_attention_heads", heads},
      {"n_head", heads},
      {"n_heads", heads},
      {"feed_forward", feed_forward},
      {"intermediate_size", feed_forward},
      {"ffn_dim", feed_forward},
      {"ffn_hidden_size", feed_forward},
      {"d_ff", feed_forward},
      {"vocab_size", vocabulary},
      {"vocabulary", vocabulary},
      {"max_position_embeddings", longest},
      {"max_length", longest},
      {"max_positions", longest},
      {"seq_len", length},
      {"seq_length", length},
      {"sequence_length", length},
      {"max_seq_length", length},
      {"max_seq_len", length},
      {"block_size", length},
      {"context_length", length},
      {"tokens_per_sample", length},
      {"dropout", dropout},
      {"hidden_dropout_prob", dropout},
      {"attention_probs_dropout_prob", "model.attention_dropout"},
      {"tie_word_embeddings", "model.tie_embeddings"},
      {"mlm_probability", mask},
      {"mask_prob", mask},
      {"mask_rate", mask},
      {"rule", "learning.rule"},
      {"learning_rule", "learning.rule"},
      {"horizon", "learning.horizon"},
      {"stages", stages},
      {"num_stages", stages},
      {"pp", stages},
      {"pipeline_parallel_size", stages},
      {"pipeline_model_parallel_size", stages},
      {"ranks", ranks},
      {"np", ranks},
      {"nproc", ranks},
      {"nproc_per_node", ranks},
      {"num_gpus", ranks},
      {"gpus", ranks},
      {"world_size", ranks},
      {"replicas", replicas},
      {"dp", replicas},
      {"data_parallel_size", replicas},
      {"zero", shards},
      {"zero_stage", shards},
      {"threads", "parallel.threads"},
      {"num_threads", "parallel.threads"},
      {"schedule", "parallel.schedule"},
      {"data", paths},
      {"data_path", paths},
      {"dataset", paths},
      {"train_file", paths},
      {"train_data", paths},
      {"input", paths},
      {"val_data", held_out},
      {"valid_data", held_out},
      {"validation_file", held_out},
      {"eval_data", held_out},
      {"tokenizer", tokenizer},
      {"tokenizer_name", tokenizer},
      {"output_dir", folder},
      {"out_dir", folder},
      {"output", folder},
      {"save_dir", folder},
      {"log_dir", folder},
      {"folder", folder},
      {"seed", "run.seed"},
      {"random_seed", "run.seed"},
      {"device", "run.device"},
      {"eval_steps", evaluations},
      {"eval_every", evaluations},
      {"eval_interval", evaluations},
      {"evaluate_every", evaluations},
      {"eval_iters", "run.evaluate_sequences"},
      {"save_steps", checkpoints},
      {"save_every", checkpoints},
      {"save_interval", checkpoints},
      {"checkpoint_every", checkpoints},
      {"save_total_limit", "checkpoint.keep"},
      {"fp16", precision},
      {"bf16", precision},
      {"dtype", precision},
      {"mixed_precision", precision},
      {"precision", precision},
      {"gradient_checkpointing", recompute},
      {"activation_checkpointing", recompute},
      {"recompute_activations", recompute},
      {"early_stopping_patience", "run.patience"},
      {"patience", "run.patience"},
      {"load_best_model_at_end", "run.keep_best"},
      {"weights", start},
      {"init_from", start},
      {"pretrained", start},
      {"load", start},
      {"model_name_or_path", start},
      {"layer_norm_eps", "model.layer_norm_epsilon"},
      {"type_vocab_size", "model.token_types"},
  };
}

}  // namespace

std::string likely_key(const std::string& word) {
  std::string plain = word.substr(word.rfind('.') + 1);  // all of it where there is no dot
  std::ranges::replace(plain, '-', '_');
  static const std::map<std::string, std::string> keys = key_table();
  const auto found = keys.find(plain);
  return found == keys.end() ? "" : found->second;
}

}  // namespace interlock
