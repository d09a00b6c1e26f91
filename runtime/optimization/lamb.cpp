// LAMB (You et al., "Large batch optimization for deep learning", ICLR 2020): the step of AdamW per tensor, scaled to
// the tensor's own size. With w the values and u = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon) +
// weight_decay w, a step is w -= rate * (|w| / |u|) * u; the ratio is 1 where either norm is 0. Biases and norms
// neither decay nor adapt: theirs is AdamW's step.
//
// A tensor's ratio needs the whole tensor, and nothing beside it: any cut of a model into stages gives the same.
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/where.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "runtime/optimization/moments.h"
#include "runtime/optimization/optimizer.h"
#include "runtime/optimization/squares.h"

namespace interlock {
namespace {

// Norms are added up piece by piece in a fixed order, so that they do not depend on the number of threads.
constexpr int64_t piece = 2048;

struct Squares {
  double value = 0, update = 0;
};

class Lamb final : public Optimizer {
 public:
  // `trust_clip` > 0 is the most that |w| counts in the ratio.
  Lamb(const MomentSettings& settings, double trust_clip) : settings_(settings), trust_clip_(trust_clip) {}

  void attach(std::vector<Parameter> parameters) override {
    for (const Parameter& parameter : parameters) {
      TORCH_INTERNAL_ASSERT(parameter.value.is_contiguous() && parameter.gradient.is_contiguous(), parameter.name);
      TORCH_INTERNAL_ASSERT(parameter.value.sizes() == parameter.gradient.sizes(), parameter.name);
    }
    moments_ = zero_moments(parameters);
    parameters_ = std::move(parameters);
  }

  void step(const UpdateNumbers& numbers) override {
    const at::NoGradGuard no_graph;
    if (!parameters_.empty() && !parameters_.front().value.is_cpu()) return step_on_device(numbers);
    const double rate = numbers.learning_rate.item<double>(), factor = numbers.gradient_factor.item<double>();
    for (size_t i = 0; i < parameters_.size(); ++i) {
      moments_[i].count.add_(1);
      if (parameters_[i].value.scalar_type() == at::kDouble) {
        update<double>(parameters_[i], moments_[i], rate * parameters_[i].rate_factor, factor);
      } else {
        update<float>(parameters_[i], moments_[i], rate * parameters_[i].rate_factor, factor);
      }
    }
  }

  std::vector<std::string> state_names() const override { return moment_names(); }
  std::vector<std::vector<at::Tensor>> state() const override { return listed_moments(moments_); }
  bool elementwise() const override { return false; }
  double state_ratio() const override { return 2.0; }

 private:
  // Numbers of one update in the type of the parameter.
  template <class T>
  struct Factors {
    T beta1, beta2, mean, square, epsilon, decay, gradient;  // mean and square: the bias corrections, 1 / (1 - beta^t)
    T direction(T value, T first, T second) const {
      return first * mean / (std::sqrt(second * square) + epsilon) + decay * value;
    }
  };

  // The same of LibTorch's operations, so that no number comes to the host; slower, and rounded differently.
  void step_on_device(const UpdateNumbers& numbers) const {
    count_update(moments_);
    const auto correction = [](double beta, const at::Tensor& count) {
      return (1 - at::pow(beta, count.to(at::kDouble))).reciprocal();
    };
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const Parameter& parameter = parameters_[i];
      const auto& [mean, square, count] = moments_[i];
      const at::ScalarType type = parameter.value.scalar_type();
      const at::Tensor slope = parameter.gradient * numbers.gradient_factor.to(type);
      mean.mul_(settings_.beta1).add_(slope, 1 - settings_.beta1);
      square.mul_(settings_.beta2).addcmul_(slope, slope, 1 - settings_.beta2);
      const at::Tensor spread = (square * correction(settings_.beta2, count).to(type)).sqrt_().add_(settings_.epsilon);
      at::Tensor direction = (mean * correction(settings_.beta1, count).to(type)).div_(spread);
      at::Tensor rate = numbers.learning_rate * parameter.rate_factor;  // of the host: what it goes into takes it along
      if (parameter.decays) {
        const at::Tensor value = parameter.value.detach();
        direction.add_(value, settings_.weight_decay * parameter.decay_factor);
        rate = rate * trust_ratio(at::linalg_vector_norm(value, 2, {}, false, at::kDouble),
                                  at::linalg_vector_norm(direction, 2, {}, false, at::kDouble));
      }
      parameter.value.sub_(direction.mul_(rate.to(type)));
    }
  }

  at::Tensor trust_ratio(const at::Tensor& value, const at::Tensor& update) const {
    const at::Tensor norm = trust_clip_ > 0 ? value.clamp_max(trust_clip_) : value;
    return at::where(value.eq(0).logical_or(update.eq(0)), at::ones_like(norm), norm / update);
  }

  template <class T>
  void update(const Parameter& parameter, const Moment& moment, double learning_rate, double gradient_factor) const {
    const double count = moment.count.item<double>();
    const Factors<T> factors{
        static_cast<T>(settings_.beta1),
        static_cast<T>(settings_.beta2),
        static_cast<T>(1 / (1 - std::pow(settings_.beta1, count))),
        static_cast<T>(1 / (1 - std::pow(settings_.beta2, count))),
        static_cast<T>(settings_.epsilon),
        static_cast<T>(parameter.decays ? settings_.weight_decay * parameter.decay_factor : 0.0),
        static_cast<T>(gradient_factor),
    };
    T* value = parameter.value.mutable_data_ptr<T>();
    T* mean = moment.mean.mutable_data_ptr<T>();
    T* square = moment.square.mutable_data_ptr<T>();
    const Squares squares =
        advance(factors, value, parameter.gradient.const_data_ptr<T>(), mean, square, parameter.value.numel());
    const T rate = static_cast<T>(learning_rate * (parameter.decays ? trust_ratio(squares) : 1.0));
    at::parallel_for(0, parameter.value.numel(), 16 * piece, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) value[i] -= rate * factors.direction(value[i], mean[i], square[i]);
    });
  }

  // Moments take the gradient in; the squared norms of values and of the coming direction.
  template <class T>
  static Squares advance(const Factors<T>& factors, const T* value, const T* gradient, T* mean, T* square,
                         int64_t count) {
    std::vector<Squares> pieces(static_cast<size_t>((count + piece - 1) / piece));
    at::parallel_for(0, static_cast<int64_t>(pieces.size()), 16, [&](int64_t first, int64_t last) {
      for (int64_t p = first; p < last; ++p) {
        const int64_t begin = p * piece, end = std::min(count, begin + piece);
        for (int64_t i = begin; i < end; ++i) {
          const T slope = gradient[i] * factors.gradient;
          mean[i] = factors.beta1 * mean[i] + (1 - factors.beta1) * slope;
          square[i] = factors.beta2 * square[i] + (1 - factors.beta2) * slope * slope;
        }
        std::array<T, piece> directions;
        for (int64_t i = begin; i < end; ++i) directions[i - begin] = factors.direction(value[i], mean[i], square[i]);
        const Squares sum{sum_of_squares(value + begin, end - begin), sum_of_squares(directions.data(), end - begin)};
        pieces[static_cast<size_t>(p)] = sum;
      }
    });
    Squares total;
    for (const Squares& part : pieces) total.value += part.value, total.update += part.update;
    return total;
  }

  double trust_ratio(const Squares& squares) const {
    if (squares.value == 0 || squares.update == 0) return 1.0;
    const double norm = std::sqrt(squares.value);
    return (trust_clip_ > 0 ? std::min(norm, trust_clip_) : norm) / std::sqrt(squares.update);
  }

  MomentSettings settings_;
  double trust_clip_;
  std::vector<Parameter> parameters_;
  std::vector<Moment> moments_;
};

const Registration<Optimizer, const Section&> registered("lamb", [](const Section& section) {
  return std::make_unique<Lamb>(MomentSettings::from(section, {.epsilon = 1e-6}),
                                section.number("trust_clip", 0.0, 0.0));
});

}  // namespace
}  // namespace interlock
