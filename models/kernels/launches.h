#pragma once
// Launches of the kernels: plain pointers to memory of the GPU, and the stream. Free of LibTorch, so that nvcc reads
// little. Type is what tensors are of; sums and statistics are float. Internal to the CUDA module.

#include <cuda_runtime_api.h>

#include <cstdint>

namespace interlock::kernels {

enum class Type { bfloat16, float32 };

// Of x [samples, count]: elements whose word is below `threshold` are 0, the others times `factor`.
void drop(const void* x, void* out, Type type, int64_t samples, int64_t count, const int64_t* numbers, uint64_t key,
          uint32_t threshold, float factor, cudaStream_t stream);
// Elements whose word is below `threshold` change their sign.
void mark_dropped(void* x, Type type, int64_t samples, int64_t count, const int64_t* numbers, uint64_t key,
                  uint32_t threshold, cudaStream_t stream);

// Rows [0, with_target) of logits become softmax - onehot, the others 0; losses [with_target].
void cross_entropy(void* logits, Type type, int64_t rows, int64_t with_target, int64_t classes, int64_t stride,
                   const int64_t* targets, float* losses, cudaStream_t stream);

// x times *factor, of whose number the host knows nothing; nothing is written where it is 1.
void scale(void* x, Type type, int64_t count, const float* factor, cudaStream_t stream);

// result, mean and inverse deviation of rows [rows, width].
void norm(const void* x, Type type, const float* weight, const float* bias, void* result, float* mean, float* inverse,
          int64_t rows, int64_t width, float epsilon, cudaStream_t stream);
void norm_input_gradient(const void* gradient, const void* x, Type type, const float* weight, const float* mean,
                         const float* inverse, void* of_x, int64_t rows, int64_t width, cudaStream_t stream);
// Parts of the gradients of weight and bias, each of `rows_of_part` rows: [parts, 2, width]; to be added up in order.
void norm_weight_gradient(const void* gradient, const void* x, Type type, const float* mean, const float* inverse,
                          float* of_both, int64_t rows, int64_t width, int64_t rows_of_part, cudaStream_t stream);
// Parts of the sums over rows, which begin every `stride` numbers: [parts, width].
void row_sums(const void* numbers, Type type, float* parts, int64_t rows, int64_t width, int64_t stride,
              int64_t rows_of_part, cudaStream_t stream);
// sum [width] becomes, or is increased by, factor times the sum of the parts.
void add_parts(const float* parts, int64_t count, int64_t width, float* sum, float factor, bool overwrite,
               cudaStream_t stream);

// What a row draws: of the rows of sample i the numbers are keyed by numbers[i].
struct Draws {
  const int64_t* numbers = nullptr;
  int64_t rows_of_sample = 1;
  uint64_t key = 0;
  uint32_t threshold = 0;  // 0: nothing is dropped
  float factor = 1;
};

// sum = x + dropped y, and its norm; for rows of such a width only.
bool residual_norm_takes(int64_t width);
void residual_norm(const void* x, const void* y, Type type, const float* weight, const float* bias, void* sum,
                   void* result, float* mean, float* inverse, int64_t rows, int64_t width, float epsilon,
                   const Draws& draws, cudaStream_t stream);
// of_y may be null: what it would be is of_x. Parts of the gradients of weight and bias: [parts(rows), 2, width].
int64_t residual_norm_parts(int64_t rows);
void residual_norm_backward(const void* gradient, const void* sum, Type type, const float* weight, const float* mean,
                            const float* inverse, void* of_x, void* of_y, float* of_both, int64_t rows, int64_t width,
                            const Draws& draws, cudaStream_t stream);

// sum[place] += factor * rows[order[i]] for all i in turn; `places` ascend, order[i] is where the i-th came from.
void add_to_rows(float* sum, const int64_t* places, const int64_t* order, const float* rows, int64_t count,
                 int64_t width, float factor, int64_t padding, cudaStream_t stream);

}  // namespace interlock::kernels
