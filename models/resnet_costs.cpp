// Saved by a convolution: what it takes. By a norm: what the convolution made, and two numbers per channel. By ReLU:
// its result, which is what the next convolution takes. What a piece makes is saved by who reads it.
#include "models/resnet_costs.h"

#include <algorithm>

namespace interlock {
namespace {

class Counter {
 public:
  Counter(const ResnetSettings& settings, int64_t samples)
      : bytes_(settings.numbers.hidden_bytes()),
        number_bytes_(settings.numbers.parameter_bytes()),
        copy_bytes_(settings.numbers.copy_bytes()),
        samples_(samples) {}

  // What the piece takes.
  void input(const ImageShape& image) {
    costs.activation_bytes += of(image);
    costs.linear_input_bytes += of(image);
    current_ = image;
    largest_ = std::max(largest_, of(image));
  }
  // A convolution of the current image with its norm; what it makes is the current image then.
  void convolution(const ConvolutionShape& shape) {
    const ImageShape made{shape.outputs, shape.size_of(current_.height), shape.size_of(current_.width)};
    product(static_cast<double>(made.height * made.width * shape.inputs * shape.kernel * shape.kernel) *
            static_cast<double>(shape.outputs));
    costs.parameters += shape.parameters();
    costs.product_copy_bytes += shape.parameters() * copy_bytes_;
    costs.recorded_bytes += of(made);
    const ImageShape taken = current_;
    current_ = made;
    norm();
    weights_ = std::max(weights_, gradient_of(shape.parameters()));
    unfolded_ = std::max(unfolded_, unfolded(taken, shape));
  }
  void norm() {
    const int64_t channels = current_.channels;
    costs.parameters += 2 * channels;
    costs.recorded_bytes += 2 * channels * number_bytes_;
    costs.activation_bytes += of(current_) + 2 * channels * number_bytes_;
    largest_ = std::max(largest_, of(current_));
  }
  // ReLU whose result a convolution or linear layer of this piece takes.
  void rectified() {
    costs.activation_bytes += of(current_);
    costs.linear_input_bytes += of(current_);
  }
  void linear(int64_t inputs, int64_t outputs) {
    product(static_cast<double>(inputs * outputs));
    costs.parameters += inputs * outputs + outputs;
    costs.product_copy_bytes += (inputs * outputs + outputs) * copy_bytes_;
    costs.recorded_bytes += samples_ * outputs * bytes_;
    current_ = {outputs, 1, 1};
    largest_ = std::max(largest_, of(current_));
    weights_ = std::max(weights_, gradient_of(inputs * outputs));
  }
  void kept(int64_t bytes) { costs.activation_bytes += bytes; }
  // Rows, which a linear layer saves.
  void rows(int64_t width) {
    current_ = {width, 1, 1};
    rectified();
  }
  const ImageShape& current() const { return current_; }
  void return_to(const ImageShape& image) { current_ = image; }
  int64_t of(const ImageShape& image) const { return samples_ * image.numbers() * bytes_; }

  // Alive together in a pass back: the gradient of the sum, that of a norm's input, and of what the convolution takes
  // and makes what its library rearranges; where all is kept, one more, and its weights' gradient always. Exact for
  // basic blocks, up to a third too much for bottlenecks, whose inner images are smaller.
  Costs done() {
    costs.working_bytes = std::max(4 * largest_, unfolded_) + weights_;
    costs.kept_working_bytes = std::max(5 * largest_, unfolded_ + largest_) + weights_;
    // In bfloat16 as many as the library lays out anew for the processor's products: one more where those are tiles
    // (AMX).
    const int64_t alive = copy_bytes_ > 0 ? 4 : 3;
    costs.forward_working_bytes = std::max(alive * largest_, unfolded_) + weights_;
    return costs;
  }

  Costs costs;

 private:
  // In bfloat16 it is made in float, rounded, and widened again for the sum.
  int64_t gradient_of(int64_t parameters) const {
    return parameters * (bytes_ + (copy_bytes_ > 0 ? 2 * number_bytes_ : 0));
  }
  // In float64 LibTorch lays out what every place of the result is made of, beside what it takes and makes.
  int64_t unfolded(const ImageShape& taken, const ConvolutionShape& shape) const {
    if (bytes_ < static_cast<int64_t>(sizeof(double)) || (shape.kernel == 1 && shape.stride == 1)) return 0;
    return of(taken) + of(current_) +
           of({taken.channels * shape.kernel * shape.kernel, current_.height, current_.width});
  }
  void product(double multiplications) {
    const double flops = 2.0 * static_cast<double>(samples_) * multiplications;
    costs.forward_flops += flops;
    costs.input_gradient_flops += flops;
    costs.weight_gradient_flops += flops;
  }

  int64_t bytes_, number_bytes_, copy_bytes_, samples_;  // of a number that passes between operations, of a parameter
  ImageShape current_;
  int64_t largest_ = 0, weights_ = 0, unfolded_ = 0;
};

}  // namespace

Costs stem_costs(const ResnetSettings& settings, int64_t samples) {
  constexpr int64_t bytes_of_place = 8;  // where a maximum stood
  Counter counter(settings, samples);
  counter.input(settings.image);
  counter.convolution(settings.stem.convolution());
  if (settings.stem.pools) {
    counter.kept(counter.of(counter.current()));  // what the maximum is taken of
    counter.kept(samples * settings.stem.result(settings.image).numbers() * bytes_of_place);
  }
  Costs costs = counter.done();
  costs.input_gradient_flops = 0;  // nobody asks for the gradient of an image
  return costs;
}

Costs block_costs(const ResnetSettings& settings, const ResnetSettings::Block& block, int64_t samples) {
  Counter counter(settings, samples);
  counter.input(block.input);
  const std::vector<ConvolutionShape> convolutions = block.shape.convolutions();
  for (size_t i = 0; i < convolutions.size(); ++i) {
    if (i > 0) counter.rectified();
    counter.convolution(convolutions[i]);
  }
  if (block.shape.projects()) {
    counter.return_to(block.input);
    counter.convolution(block.shape.projection());
  }
  return counter.done();
}

Costs pooled_readout_costs(const ResnetSettings& settings, const ImageShape& image, int64_t samples) {
  Counter counter(settings, samples);
  counter.kept(counter.of(image));  // ReLU of the block below keeps it for as long
  counter.rows(image.channels);
  counter.linear(image.channels, settings.classes);
  counter.kept(samples * settings.classes * settings.numbers.hidden_bytes());  // the gradient of the scores
  Costs costs = counter.done();
  costs.working_bytes = costs.kept_working_bytes = counter.of(image);
  return costs;
}

Costs sequence_head_costs(const ResnetSettings& settings, const SequenceShape& shape, const ImageShape& image,
                          int64_t samples) {
  Counter counter(settings, samples);
  if (shape.shrink > 0) {
    counter.kept(counter.of(image));
    const auto shrunk = [&](int64_t size) { return (size + shape.shrink - 1) / shape.shrink; };
    counter.input({image.channels, shrunk(image.height), shrunk(image.width)});
  } else {
    counter.input(image);
  }
  for (size_t i = 0; i < shape.convolutions.size(); ++i) {
    counter.convolution(shape.convolutions[i]);
    counter.rectified();  // of the last one for the pool
  }
  int64_t inputs = shape.convolutions.back().outputs * shape.places * shape.places;
  counter.rows(inputs);
  for (const int64_t width : shape.hidden) {
    counter.linear(inputs, width);
    counter.norm();
    counter.rectified();
    inputs = width;
  }
  counter.linear(inputs, settings.classes);
  counter.kept(samples * settings.classes * settings.numbers.hidden_bytes());
  return counter.done();
}

}  // namespace interlock
