#include "launch/stored_model/generation.h"

#include <ATen/ops/all.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "launch/stored_model/finite_scores.h"
#include "models/key_value_cache.h"
#include "runtime/core/random.h"
#include "runtime/data/byte_tokens.h"
#include "runtime/data/token_vocabulary.h"
#include "runtime/data/tokenizer/utf8.h"

namespace interlock {
namespace {

int64_t end_of_documents(const TextModel& source) {
  return source.reads_bytes() ? byte_tokens::end : document_end(*source.tokenizer, source.tokenizer_path);
}

// `name`: of the prompt, in messages.
std::vector<int64_t> tokens_of(const TextModel& source, const std::string& prompt, const std::string& name,
                               int64_t end) {
  std::vector<int64_t> tokens;
  if (source.reads_bytes()) {
    for (const char byte : prompt) tokens.push_back(byte_tokens::of_byte(static_cast<uint8_t>(byte)));
  } else {
    try {
      require_utf8(prompt);
    } catch (const Error& error) {
      throw Error(ExitCode::usage, message(name, ": ", error.what()));
    }
    std::vector<int32_t> ids;
    source.tokenizer->encode(prompt, ids);
    tokens.assign(ids.begin(), ids.end());
  }
  if (tokens.empty()) tokens.push_back(end);
  if (std::ssize(tokens) >= source.max_length)
    throw Error(ExitCode::usage, message(name, " has ", tokens.size(), " tokens, the model reads at most ",
                                         source.max_length, ": there is no room for one more; shorten it"));
  return tokens;
}

std::string text_of(const TextModel& source, const std::vector<int64_t>& tokens) {
  std::string text;
  std::vector<int32_t> ids;
  for (const int64_t token : tokens) {
    if (source.reads_bytes()) {
      if (byte_tokens::is_byte(token)) text += static_cast<char>(byte_tokens::to_byte(token));
    } else if (!source.tokenizer->is_special(token)) {
      ids.push_back(static_cast<int32_t>(token));
    }
  }
  return source.reads_bytes() ? text : source.tokenizer->decode(ids);
}

// Some texts that are continued together. A row that is done goes on being computed, and nothing of it is kept.
class Group {
 public:
  Group(const TextModel& source, const LoadedModel& model, std::vector<Continuation>& texts, int64_t first)
      : source_(source), model_(model), texts_(texts), first_(first), end_(end_of_documents(source)) {
    cache_.capacity = source.max_length;
    for (size_t i = 0; i < texts.size(); ++i) batch_.sample_ids.push_back(first + static_cast<int64_t>(i));
  }

  void run(const Sampling& sampling, const std::function<void(int64_t)>& progress) {
    at::Tensor scores = read_prompts();
    for (int64_t made = 0; made < sampling.tokens; ++made) {
      const int64_t going_on = take(scores, sampling, made);
      progress(made + 1);
      if (going_on == 0 || made + 1 == sampling.tokens) return;
      scores = read_last();
    }
  }

 private:
  bool is_done(const Continuation& text) const { return text.ended || std::ssize(text.tokens) >= source_.max_length; }

  // Of the rows of `targets` that are not ignored: [texts, vocabulary].
  at::Tensor scores(const at::Tensor& tokens, const at::Tensor& targets, const at::Tensor& positions) {
    batch_.inputs = tokens;
    batch_.targets = targets;
    cache_.positions = positions;
    cache_.filled = std::max(cache_.filled, positions.max().item<int64_t>() + 1);
    const ForwardContext context{.batch = &batch_, .training = false, .cache = &cache_};
    return model_.readout->scores(model_.body->forward(tokens, context), context);
  }

  // Filled up to the longest: what fills up is written over before anything looks at it.
  at::Tensor read_prompts() {
    const auto rows = std::ssize(texts_);
    int64_t longest = 0;
    for (const Continuation& text : texts_) longest = std::max(longest, text.of_prompt);
    at::Tensor tokens = at::full({rows, longest}, end_, at::kLong);
    at::Tensor targets = at::full({rows, longest}, ignored_target, at::kLong);
    at::Tensor positions = at::full({rows, longest}, int64_t{0}, at::kLong);
    for (int64_t row = 0; row < rows; ++row) {
      const Continuation& text = texts_[static_cast<size_t>(row)];
      std::copy(text.tokens.begin(), text.tokens.end(), tokens.mutable_data_ptr<int64_t>() + row * longest);
      targets.mutable_data_ptr<int64_t>()[row * longest + text.of_prompt - 1] = 0;  // any: only the scores are read
      int64_t* places = positions.mutable_data_ptr<int64_t>() + row * longest;
      std::iota(places, places + longest, int64_t{0});
    }
    return scores(tokens, targets, positions);
  }

  at::Tensor read_last() {
    std::vector<int64_t> last, places;
    for (const Continuation& text : texts_) {
      last.push_back(text.tokens.back());
      places.push_back(std::ssize(text.tokens) - 1);
    }
    const std::vector<int64_t> shape{std::ssize(texts_), 1};
    return scores(at::tensor(last).view(shape), at::full(shape, int64_t{0}, at::kLong), at::tensor(places).view(shape));
  }

  // One token more for each text that is not done; how many of them go on then.
  int64_t take(at::Tensor found, const Sampling& sampling, int64_t number) {
    // A model may have rows that its tokenizer has no tokens for.
    if (!source_.reads_bytes() && source_.tokenizer->vocabulary() < found.size(1))
      found = found.narrow(1, 0, source_.tokenizer->vocabulary());
    require_finite(found, *source_.weights);
    int64_t going_on = 0;
    for (size_t row = 0; row < texts_.size(); ++row) {
      Continuation& text = texts_[row];
      if (is_done(text)) continue;
      const RandomKey key = random_key(sampling.seed, Purpose::generation, static_cast<uint64_t>(number), 0,
                                       static_cast<uint64_t>(first_) + row);
      text.tokens.push_back(
          sample_token(found[static_cast<int64_t>(row)], sampling, unit_interval(philox(key, 0, 0)[0])));
      text.ended = text.tokens.back() == end_;
      if (!is_done(text)) ++going_on;
    }
    return going_on;
  }

  const TextModel& source_;
  const LoadedModel& model_;
  std::vector<Continuation>& texts_;
  int64_t first_, end_;
  KeyValueCache cache_;
  Batch batch_;
};

}  // namespace

int64_t sample_token(const at::Tensor& logits, const Sampling& sampling, double draw) {
  const at::Tensor numbers = logits.to(at::kDouble).contiguous();
  const double* scores = numbers.const_data_ptr<double>();
  std::vector<int64_t> order(static_cast<size_t>(numbers.numel()));
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto likelier = [&](int64_t a, int64_t b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a < b; };
  if (sampling.temperature == 0) return *std::ranges::min_element(order, likelier);
  const size_t kept = sampling.top_k == 0 ? order.size() : std::min(order.size(), static_cast<size_t>(sampling.top_k));
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(), likelier);
  std::vector<double> weights;
  double sum = 0;
  for (size_t i = 0; i < kept; ++i) {
    weights.push_back(std::exp((scores[order[i]] - scores[order[0]]) / sampling.temperature));
    sum += weights.back();
  }
  // The fewest that reach top_p of what is left, and at least one.
  double within = 0;
  size_t count = 0;
  while (count < kept && (count == 0 || within < sampling.top_p * sum)) within += weights[count++];
  double left = draw * within;
  for (size_t i = 0; i < count; ++i) {
    left -= weights[i];
    if (left < 0) return order[i];
  }
  return order[count - 1];
}

std::vector<Continuation> continue_texts(const TextModel& source, const LoadedModel& model,
                                         const std::vector<std::string>& prompts, const Sampling& sampling,
                                         const std::function<void(int64_t done, int64_t all)>& progress) {
  constexpr size_t at_a_time = 16;
  const c10::NoGradGuard no_graph;
  const int64_t end = end_of_documents(source);
  std::vector<Continuation> all;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const std::string name = prompts.size() == 1 ? "the prompt" : message("prompt ", i + 1, " of ", prompts.size());
    Continuation text{.tokens = tokens_of(source, prompts[i], name, end), .text = ""};
    text.of_prompt = std::ssize(text.tokens);
    all.push_back(std::move(text));
  }
  int64_t most = 0, done = 0;
  for (const Continuation& text : all) most += std::min(sampling.tokens, source.max_length - text.of_prompt);
  for (size_t first = 0; first < all.size(); first += at_a_time) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first),
               stop = all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), first + at_a_time));
    std::vector<Continuation> some(begin, stop);
    const auto made_of = [&](int64_t each) {
      int64_t made = 0;
      for (const Continuation& text : some)
        made += std::min({each, sampling.tokens, source.max_length - text.of_prompt});
      return made;
    };
    Group(source, model, some, static_cast<int64_t>(first)).run(sampling, [&](int64_t each) {
      progress(done + made_of(each), most);
    });
    progress(done += made_of(sampling.tokens), most);  // of texts that ended early too
    std::ranges::move(some, begin);
  }
  for (Continuation& text : all) text.text = text_of(source, text.tokens);
  return all;
}

}  // namespace interlock
