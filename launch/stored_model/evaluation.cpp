#include "launch/stored_model/evaluation.h"

#include <ATen/ops/gather.h>
#include <ATen/ops/logsumexp.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "launch/stored_model/batch_workers.h"
#include "runtime/core/printable.h"
#include "runtime/data/byte_tokens.h"
#include "runtime/data/corpus_files.h"
#include "runtime/data/held_out_part.h"
#include "runtime/data/token_file.h"
#include "runtime/data/tokenizer/utf8.h"
#include "runtime/storage/mapped_file.h"
#include "runtime/storage/scratch_folder.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

// Each file is one document.
void encode_files(const Tokenizer& tokenizer, const std::vector<std::string>& files, const std::string& prefix,
                  const std::function<void()>& between_files) {
  TokenFileWriter writer(prefix, tokenizer.vocabulary());
  std::vector<int32_t> ids;
  for (const CorpusFile& file : find_corpus_files(files, "--data")) {
    const MappedFile mapped(file.path);
    const std::string_view text(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size());
    try {
      require_utf8(text);
    } catch (const Error& error) {
      throw Error(error.code(), message(file.path, ": ", error.what()));
    }
    ids.clear();
    tokenizer.encode(text, ids);
    writer.add(ids);
    between_files();
  }
  writer.commit();
}

// The prefix of a token file that `path` names, by itself or by one of its two files; "" for anything else.
std::string token_file_prefix(const std::string& path) {
  std::error_code absent;
  const auto is_pair = [&](const std::string& prefix) {
    return fs::exists(prefix + ".idx", absent) && fs::exists(prefix + ".bin", absent);
  };
  for (const std::string_view ending : {".idx", ".bin"}) {
    const std::string prefix = path.ends_with(ending) ? path.substr(0, path.size() - ending.size()) : "";
    if (!prefix.empty() && is_pair(prefix)) return prefix;
  }
  return fs::exists(path + ".idx", absent) && !fs::exists(path, absent) ? path : "";
}

// Each once, though a glob of the shell names both files of a pair. Nothing unless all are token files.
std::vector<std::string> token_file_prefixes(const std::vector<std::string>& files) {
  std::vector<std::string> prefixes, texts;
  for (const std::string& file : files) {
    const std::string prefix = token_file_prefix(file);
    if (prefix.empty()) {
      texts.push_back(file);
    } else if (std::ranges::find(prefixes, prefix) == prefixes.end()) {
      prefixes.push_back(prefix);
    }
  }
  if (!prefixes.empty() && !texts.empty())
    throw Error(ExitCode::usage, message("--data: ", prefixes.front(), " is a token file, ", texts.front(),
                                         " is none; evaluate texts and token files apart"));
  return prefixes;
}

std::string list_text(const std::vector<std::string>& texts) {
  try {
    return nlohmann::json(texts).dump();  // escapes as TOML's
  } catch (const nlohmann::json::exception&) {
    throw Error(ExitCode::usage, "--data: a file name is not UTF-8");
  }
}

std::shared_ptr<const Dataset> open_dataset(const TextModel& source, const std::vector<std::string>& overrides,
                                            uint64_t seed, bool training = false) {
  const Config config =
      Config::from_text(source.weights->metadata().at("interlock.config"), overrides, "interlock.config");
  const DatasetSettings settings{.data = config.section("data"),
                                 .objective = config.section("objective"),
                                 .tokenizer = config.section("tokenizer"),
                                 .seed = seed,
                                 .training = training};
  std::shared_ptr<Dataset> dataset = Datasets::instance().create("dataset", source.settings.dataset_name, settings);
  if (training) dataset = with_held_out_part(std::move(dataset), read_held_out_part(settings.data));  // as its run did
  dataset->open();
  if (dataset->sample_length() > source.max_length)
    throw Error(ExitCode::bad_input,
                message(source.weights->path(), ": data.sequence_length is ", dataset->sample_length(),
                        ", the model reads at most ", source.max_length, " tokens"));
  return dataset;
}

// Of what --data names, which stands in the place of held-out files.
std::shared_ptr<const Dataset> open_given(const TextModel& source, const std::vector<std::string>& overrides,
                                          uint64_t seed) {
  try {
    return open_dataset(source, overrides, seed);
  } catch (const Error& error) {
    const std::string key = "data.validation_paths", what = error.what();
    throw Error(error.code(), what.starts_with(key) ? "--data" + what.substr(key.size()) : what);
  }
}

int64_t tokens_in(const Batch& batch) {
  if (!batch.lengths.defined()) return batch.inputs.numel();
  const int64_t* lengths = batch.lengths.const_data_ptr<int64_t>();
  return std::accumulate(lengths, lengths + batch.lengths.numel(), int64_t{0});
}

BatchResult evaluate_batch(const LoadedModel& model, const Batch& batch, const std::vector<int64_t>& bytes_of_tokens) {
  const ForwardContext context{.batch = &batch, .training = false};
  BatchResult result;
  result.tokens = tokens_in(batch);
  if (batch.predicted == 0) return result;
  const at::Tensor scores = model.readout->scores(model.body->forward(batch.inputs, context), context);
  const at::Tensor numbers = scores.scalar_type() == at::kBFloat16 ? scores.to(at::kFloat) : scores;
  const at::Tensor all = batch.targets.reshape({-1});
  const at::Tensor targets = all.index({all.ne(ignored_target)});
  const at::Tensor own = numbers.gather(1, targets.unsqueeze(1)).squeeze(1);
  // Float64 for the sums over a vocabulary and over targets; the scores themselves are as the model makes them.
  const at::Tensor losses = numbers.logsumexp(1).to(at::kDouble) - own.to(at::kDouble);
  const double* values = losses.const_data_ptr<double>();
  result.loss = std::accumulate(values, values + losses.numel(), 0.0);
  result.targets = targets.numel();
  if (!bytes_of_tokens.empty()) {
    const int64_t* wanted = targets.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < targets.numel(); ++i) result.bytes += bytes_of_tokens[static_cast<size_t>(wanted[i])];
  }
  result.right = numbers.argmax(1).eq(targets).sum().item<int64_t>();
  if (batch.targets.dim() == 1) result.among_five = numbers.gt(own.unsqueeze(1)).sum(1).lt(5).sum().item<int64_t>();
  return result;
}

}  // namespace

std::shared_ptr<const Dataset> evaluation_data(const TextModel& source, const std::vector<std::string>& files,
                                               uint64_t seed, const std::function<void()>& between_files) {
  if (files.empty()) {
    std::vector<std::string> overrides;
    if (!source.reads_bytes()) overrides.push_back("tokenizer.path=" + nlohmann::json(source.tokenizer_path).dump());
    try {
      return open_dataset(source, overrides, seed, true);
    } catch (const Error& error) {
      throw Error(error.code(), message(source.weights->path(), ": what its run held out is not there (", error.what(),
                                        "); name what to evaluate with --data"));
    }
  }
  if (source.reads_tables) {
    const std::string tokenizer = toml_quoted(source.tokenizer_path, "the tokenizer");
    return open_given(
        source, {"data.paths=[]", "data.validation_paths=" + list_text(files), "tokenizer.path=" + tokenizer}, seed);
  }
  const std::vector<std::string> prefixes = token_file_prefixes(files);
  const bool encoded = !prefixes.empty();
  if (encoded && source.reads_bytes())
    throw Error(ExitCode::bad_input, message("--data: ", prefixes.front(), " is a token file, but the model of ",
                                             source.weights->path(), " reads bytes; give it text"));
  std::vector<std::string> overrides{"data.paths=[]"};
  if (source.reads_bytes()) {
    overrides.push_back("data.validation_paths=" + list_text(files));
    return open_given(source, overrides, seed);
  }
  overrides.push_back("data.weights=[]");
  overrides.push_back("tokenizer.path=" + toml_quoted(source.tokenizer_path, "the tokenizer"));
  if (encoded) {
    overrides.push_back("data.validation_paths=" + list_text(prefixes));
    return open_given(source, overrides, seed);
  }
  const ScratchFolder folder("the encoded text");
  encode_files(*source.tokenizer, files, folder.file("text"), between_files);
  overrides.push_back("data.validation_paths=" + list_text({folder.file("text")}));
  return open_given(source, overrides, seed);
}

std::vector<int64_t> bytes_of_tokens(const TextModel& source) {
  std::vector<int64_t> bytes;
  if (source.objective != Objective::causal) return bytes;
  for (int64_t id = 0; id < source.vocabulary; ++id) {
    if (source.reads_bytes()) {
      bytes.push_back(byte_tokens::is_byte(id) ? 1 : 0);
    } else {
      const bool known = id < source.tokenizer->vocabulary() && !source.tokenizer->is_special(id);
      bytes.push_back(known ? std::ssize(source.tokenizer->bytes_of(id)) : 0);
    }
  }
  return bytes;
}

// About a thousand tokens: enough rows for a product to be fast, and the scores of 15 % of them over a vocabulary of
// 50,000 take 30 MiB per thread.
int64_t evaluation_batch(int64_t sample_length) { return std::max<int64_t>(1, 1024 / sample_length); }

int64_t evaluation_batch(const Dataset& dataset) {
  constexpr int64_t images = 64;
  return dataset.image().numbers() > 0 ? images : evaluation_batch(dataset.sample_length());
}

std::vector<BatchResult> evaluate_batches(const LoadedModel& model, const Dataset& dataset, int64_t count,
                                          int64_t first, int64_t stride, int threads,
                                          const std::function<void(int64_t)>& progress,
                                          const std::vector<int64_t>& bytes_of_tokens) {
  const int64_t size = evaluation_batch(dataset), batches = (count + size - 1) / size;
  std::vector<BatchResult> results(static_cast<size_t>(first < batches ? (batches - first + stride - 1) / stride : 0));
  const auto evaluate = [&](int64_t i) {
    const int64_t begin = (first + i * stride) * size;
    std::vector<int64_t> numbers(static_cast<size_t>(std::min(size, count - begin)));
    std::iota(numbers.begin(), numbers.end(), begin);
    results[static_cast<size_t>(i)] = evaluate_batch(model, dataset.batch(Split::held_out, numbers), bytes_of_tokens);
  };
  for_each_batch(static_cast<int64_t>(results.size()), threads, evaluate, progress);
  return results;
}

}  // namespace interlock
