#pragma once
// What a technique looks at when it tells what training has made of the network, and what it tells.

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

namespace interlock {

// Of one stage. A tensor that two stages share is the first one's.
struct StageTensors {
  std::map<std::string, at::Tensor> values;  // parameters and buffers by global name
  // Running averages that the optimizers of this rank keep: of elements [begin, begin + value.numel()) of a parameter.
  struct Average {
    std::string parameter;
    int64_t begin = 0;
    at::Tensor value, average;  // flat
  };
  std::vector<Average> averages;
};

// A part held against a whole at one place of the network. Over all places: the root of the sum of `part` over the sum
// of `whole`, added up in the order of the places' names.
struct Measured {
  std::string number;      // what it is a piece of
  std::string place;       // a global name
  at::Tensor part, whole;  // squared norms: float64, no dimension
};

at::Tensor squared_norm(const at::Tensor& tensor);  // float64, no dimension
// Of a [n, k] times b [k, m], which is not made: k may be far below n and m.
at::Tensor squared_norm_of_product(const at::Tensor& a, const at::Tensor& b);

// The value named PREFIX + ending for every value named PREFIX + `suffix`: what belongs together at a site.
// `tell(prefix, value)`.
template <class Tell>
void each_ending_with(const StageTensors& tensors, const std::string& suffix, Tell tell) {
  for (const auto& [name, value] : tensors.values)
    if (name.ends_with(suffix)) tell(name.substr(0, name.size() - suffix.size()), value);
}

}  // namespace interlock
