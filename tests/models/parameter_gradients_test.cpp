// Gradients of weights that are added up in place, against plain autograd on the library's own operations.
#include <ATen/ops/embedding.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>
#include <map>

#include "models/blocks/functions.h"
#include "tests/models/support.h"

namespace interlock::tests {
namespace {

// A buffer per parameter, and copies of values in another type.
class Buffers final : public ParameterAccess {
 public:
  Buffers(double factor, bool overwrite) : factor_(factor), overwrite_(overwrite) {}
  at::Tensor values(const at::Tensor& parameter, at::ScalarType type) override {
    ++conversions;
    return parameter.detach().to(type);
  }
  void add_gradient(const at::Tensor& parameter, GradientTerm term) override {
    term(sums.at(parameter.unsafeGetTensorImpl()), factor_, overwrite_);
    ++terms;
  }
  at::Tensor& of(const at::Tensor& parameter) { return sums[parameter.unsafeGetTensorImpl()]; }

  std::map<const void*, at::Tensor> sums;
  int terms = 0, conversions = 0;

 private:
  double factor_;
  bool overwrite_;
};

struct Way {
  double factor;
  bool overwrite;
};
// A factor that no power of two is: a rounding of its own.
const std::vector<Way> ways{{1.0, true}, {1.0, false}, {0.3, true}, {0.3, false}};
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// What `way` makes of a sum that held `before`: NaN where it is overwritten, so that nothing of it may stay.
at::Tensor start_of(const Way& way, const at::Tensor& parameter) {
  const at::Tensor before = some_numbers(parameter.sizes().vec(), parameter.scalar_type());
  return way.overwrite ? before * nan : before.clone();
}
std::vector<double> expected_of(const Way& way, const at::Tensor& parameter, const at::Tensor& gradient) {
  std::vector<double> result = listed(gradient);
  const std::vector<double> before = listed(some_numbers(parameter.sizes().vec(), parameter.scalar_type()));
  for (size_t i = 0; i < result.size(); ++i) result[i] = way.factor * result[i] + (way.overwrite ? 0.0 : before[i]);
  return result;
}
// float64: a few thousand roundings of 1e-16; float32: 1e-5 of the largest, some hundred of 6e-8.
double bound_of(at::ScalarType type, const std::vector<double>& expected) {
  return type == at::kDouble ? 1e-10 : 1e-5 * std::max(1.0, largest(expected));
}

struct Sizes {
  int64_t rows, inputs, outputs;
};

TEST(ParameterGradients, OfLinearAreThoseOfAutograd) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat})
    for (const auto& [rows, inputs, outputs] : {Sizes{12, 7, 5}, {1, 1, 1}, {300, 96, 130}})
      for (const bool with_bias : {true, false})
        for (const Way& way : ways) {
          const at::Tensor x = some_numbers({2, rows, inputs}, type).clone().requires_grad_();
          const at::Tensor weight = some_numbers({outputs, inputs}, type).clone().requires_grad_();
          const at::Tensor bias = with_bias ? some_numbers({outputs}, type).clone().requires_grad_() : at::Tensor();
          const at::Tensor above = some_numbers({2, rows, outputs}, type);
          std::vector<at::Tensor> wanted{x, weight};
          if (with_bias) wanted.push_back(bias);
          const std::optional<at::Tensor> maybe = with_bias ? std::optional(bias) : std::nullopt;
          const auto truth = torch::autograd::grad({at::linear(x, weight, maybe)}, wanted, {above});
          Buffers buffers(way.factor, way.overwrite);
          for (size_t i = 1; i < wanted.size(); ++i) buffers.of(wanted[i]) = start_of(way, wanted[i]);
          const auto found =
              torch::autograd::grad({linear(x, weight, bias, &buffers)}, wanted, {above}, {}, false, true);
          EXPECT_EQ(buffers.terms, with_bias ? 2 : 1);
          EXPECT_LE(largest_difference(listed(found[0]), listed(truth[0])), bound_of(type, listed(truth[0])));
          for (size_t i = 1; i < wanted.size(); ++i) {
            EXPECT_FALSE(found[i].defined()) << "a gradient was made beside the buffer";
            const auto expected = expected_of(way, wanted[i], truth[i]);
            EXPECT_LE(largest_difference(listed(buffers.of(wanted[i])), expected), bound_of(type, expected))
                << rows << " rows, factor " << way.factor << ", " << i;
          }
        }
}

// A pass that asks for the input alone makes no term, one that asks for parameters alone no input gradient.
TEST(ParameterGradients, AreMadeOnlyWhereAskedFor) {
  const at::Tensor x = some_numbers({6, 4}, at::kFloat).clone().requires_grad_();
  const at::Tensor weight = some_numbers({3, 4}, at::kFloat).clone().requires_grad_();
  const at::Tensor bias = some_numbers({3}, at::kFloat).clone().requires_grad_();
  const at::Tensor above = some_numbers({6, 3}, at::kFloat);
  Buffers buffers(1.0, true);
  for (const at::Tensor& parameter : {weight, bias}) buffers.of(parameter) = start_of({1.0, true}, parameter);
  const at::Tensor out = linear(x, weight, bias, &buffers);
  torch::autograd::grad({out}, {x}, {above}, true);
  EXPECT_EQ(buffers.terms, 0);
  torch::autograd::grad({out}, {bias}, {above}, true, false, true);
  EXPECT_EQ(buffers.terms, 1);
  torch::autograd::grad({out}, {weight, bias}, {above}, true, false, true);
  EXPECT_EQ(buffers.terms, 3);
  // Frozen ones are not asked for, and so is what the others get.
  const at::Tensor frozen = weight.detach();
  Buffers others(1.0, true);
  others.of(bias) = start_of({1.0, true}, bias);
  torch::autograd::grad({linear(x, frozen, bias, &others)}, {x, bias}, {above}, {}, false, true);
  EXPECT_EQ(others.terms, 1);
  EXPECT_TRUE(bit_equal(others.of(bias), buffers.of(bias)));
}

// Rows and inputs in bfloat16, parameters and their gradients in float. Inputs are the same numbers in both, so what
// differs is one rounding of the finished product to bfloat16, 2^-8 of itself, and the order of float additions.
TEST(ParameterGradients, OfLinearInMixedPrecisionRoundOnce) {
  for (const Way& way : ways) {
    const at::Tensor narrow = some_numbers({70, 48}, at::kBFloat16), above = some_numbers({70, 2000}, at::kBFloat16);
    const at::Tensor weight = some_numbers({2000, 48}, at::kFloat).clone().requires_grad_();
    const at::Tensor bias = some_numbers({2000}, at::kFloat).clone().requires_grad_();
    const auto truth = torch::autograd::grad({at::linear(narrow.to(at::kFloat), weight, bias)}, {weight, bias},
                                             {above.to(at::kFloat)});
    Buffers buffers(way.factor, way.overwrite);
    for (const at::Tensor& parameter : {weight, bias}) buffers.of(parameter) = start_of(way, parameter);
    torch::autograd::grad({linear(narrow, weight, bias, &buffers)}, {weight, bias}, {above}, {}, false, true);
    EXPECT_EQ(buffers.conversions, 2) << "weights were converted beside the copy";
    const std::vector<double> product = listed(truth[0]), expected = expected_of(way, weight, truth[0]),
                              got = listed(buffers.of(weight));
    const double of_sums = 1e-5 * largest(expected);
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_NEAR(got[i], expected[i], way.factor * std::abs(product[i]) * 0x1p-8 + of_sums) << i;
    // The sums of rows are made in float.
    const auto of_bias = expected_of(way, bias, truth[1]);
    EXPECT_LE(largest_difference(listed(buffers.of(bias)), of_bias), bound_of(at::kFloat, of_bias));
  }
}

TEST(ParameterGradients, OfEmbeddingsAreThoseOfAutograd) {
  constexpr int64_t rows = 11, padding = 1;
  // Row 3 five times, some rows never, and the padding among them.
  const at::Tensor places = integers({{3, 1, 0, 3, 10}, {3, 7, 1, 3, 3}, {2, 2, 1, 9, 0}});
  for (const at::ScalarType type : {at::kDouble, at::kFloat})
    for (const int64_t width : {1, 6, 200})
      for (const Way& way : ways) {
        const at::Tensor table = some_numbers({rows, width}, type).clone().requires_grad_();
        const at::Tensor above = some_numbers({3, 5, width}, type);
        const auto truth = torch::autograd::grad({at::embedding(table, places, padding)}, {table}, {above});
        Buffers buffers(way.factor, way.overwrite);
        buffers.of(table) = start_of(way, table);
        const at::Tensor out = embedding(table, places, padding, &buffers);
        EXPECT_TRUE(bit_equal(out.detach(), at::embedding(table, places).detach()));
        torch::autograd::grad({out}, {table}, {above}, {}, false, true);
        const auto expected = expected_of(way, table, truth[0]), got = listed(buffers.of(table));
        EXPECT_LE(largest_difference(got, expected), bound_of(type, expected)) << width << ", " << way.factor;
        // Padding hears nothing, to the bit.
        EXPECT_TRUE(bit_equal(buffers.of(table)[padding], way.overwrite ? at::zeros_like(buffers.of(table)[padding])
                                                                        : start_of(way, table)[padding]));
        // Without a place for it, the gradient comes out of the graph.
        const auto plain = torch::autograd::grad({embedding(table, places, padding, nullptr)}, {table}, {above});
        EXPECT_LE(largest_difference(listed(plain[0]), listed(truth[0])), bound_of(type, listed(truth[0])));
      }
}

// Threads share columns of embeddings and rows of products: no number is added up in an order of theirs.
TEST(ParameterGradients, OfEmbeddingsHaveTheSameBitsOnAnyThreads) {
  constexpr int64_t rows = 40, width = 512;
  std::vector<std::vector<int64_t>> tokens(8);
  for (int64_t i = 0; i < 8 * 64; ++i) tokens[static_cast<size_t>(i / 64)].push_back(i * i % rows);
  const at::Tensor places = integers(tokens), above = some_numbers({8, 64, width}, at::kFloat);
  const at::Tensor table = some_numbers({rows, width}, at::kFloat).clone().requires_grad_();
  std::vector<at::Tensor> sums;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    Buffers buffers(0.3, true);
    buffers.of(table) = start_of({0.3, true}, table);
    torch::autograd::grad({embedding(table, places, 1, &buffers)}, {table}, {above}, {}, false, true);
    sums.push_back(buffers.of(table));
  }
  at::set_num_threads(1);
  EXPECT_TRUE(bit_equal(sums[1], sums[0]));
  EXPECT_TRUE(bit_equal(sums[2], sums[0]));
}

}  // namespace
}  // namespace interlock::tests
