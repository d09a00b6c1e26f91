#include "parallel/transport/nccl/real_calls.h"

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstdio>
#include <cstring>
#include <utility>

#include "runtime/core/error.h"

namespace interlock {
namespace {

static_assert(nccl_success == ncclSuccess && nccl_in_progress == ncclInProgress);
static_assert(sizeof(NcclId) == sizeof(ncclUniqueId));

void check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  throw Error(ExitCode::gave_up, message(call, " failed: ", cudaGetErrorString(error)));
}

ncclDataType_t type_of(NcclType type) {
  switch (type) {
    case NcclType::float32:
      return ncclFloat32;
    case NcclType::float64:
      return ncclFloat64;
    default:
      return ncclUint8;
  }
}
size_t width(NcclType type) { return type == NcclType::float32 ? 4 : type == NcclType::float64 ? 8 : 1; }

class RealCalls final : public NcclCalls {
 public:
  RealCalls(int gpu, std::function<Stream()> compute_stream) : gpu_(gpu), compute_stream_(std::move(compute_stream)) {
    use_gpu();
    check(cudaGetDeviceProperties(&properties_, gpu_), "cudaGetDeviceProperties");
  }

  int library_version() override {
    int version = 0;
    ncclGetVersion(&version);
    return version;
  }
  int header_version() override { return NCCL_VERSION_CODE; }
  std::string gpu_uuid() override {  // as nvidia-smi prints it
    std::string text = "GPU-";
    for (int i = 0; i < 16; ++i) {
      char byte[4];
      std::snprintf(byte, sizeof byte, "%02x", static_cast<unsigned char>(properties_.uuid.bytes[i]));
      text += message(i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", byte);
    }
    return text;
  }
  int multiprocessors() override { return properties_.multiProcessorCount; }
  void use_gpu() override { check(cudaSetDevice(gpu_), "cudaSetDevice"); }

  int make_id(NcclId& id) override {
    ncclUniqueId made;
    const ncclResult_t result = ncclGetUniqueId(&made);
    std::memcpy(id.bytes, made.internal, sizeof id.bytes);
    return result;
  }
  int begin_communicator(Communicator& made, int size, const NcclId& id, int position, int blocks) override {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    if (blocks > 0) {
      config.minCTAs = 1;
      config.maxCTAs = blocks;
    }
    ncclUniqueId same;
    std::memcpy(same.internal, id.bytes, sizeof id.bytes);
    return ncclCommInitRankConfig(&made, size, same, position, &config);
  }
  int state(Communicator communicator, int& result) override {
    ncclResult_t found = ncclSuccess;
    const ncclResult_t asked = ncclCommGetAsyncError(communicator, &found);
    result = found;
    return asked;
  }
  int finalize(Communicator communicator) override { return ncclCommFinalize(communicator); }
  int destroy(Communicator communicator) override { return ncclCommDestroy(communicator); }
  int abort(Communicator communicator) override { return ncclCommAbort(communicator); }
  std::string describe(int result) override {
    const char* last = ncclGetLastError(nullptr);
    const std::string text = ncclGetErrorString(static_cast<ncclResult_t>(result));
    return last != nullptr && *last != '\0' ? message(text, " (", last, ")") : text;
  }

  int send(const void* data, size_t bytes, int peer, Communicator communicator, Stream stream) override {
    return ncclSend(data, bytes, ncclUint8, peer, communicator, stream);
  }
  int receive(void* data, size_t bytes, int peer, Communicator communicator, Stream stream) override {
    return ncclRecv(data, bytes, ncclUint8, peer, communicator, stream);
  }
  int all_reduce(void* values, size_t count, NcclType type, Communicator communicator, Stream stream) override {
    return ncclAllReduce(values, values, count, type_of(type), ncclSum, communicator, stream);
  }
  int reduce(void* values, size_t count, NcclType type, int root, Communicator communicator, Stream stream) override {
    return ncclReduce(values, values, count, type_of(type), ncclSum, root, communicator, stream);
  }
  int broadcast(void* bytes, size_t count, int root, Communicator communicator, Stream stream) override {
    return ncclBroadcast(bytes, bytes, count, ncclUint8, root, communicator, stream);
  }
  int reduce_scatter(void* values, size_t count, NcclType type, int position, Communicator communicator,
                     Stream stream) override {
    char* own = static_cast<char*>(values) + static_cast<size_t>(position) * count * width(type);
    return ncclReduceScatter(values, own, count, type_of(type), ncclSum, communicator, stream);
  }
  int all_gather(void* bytes, size_t count, int position, Communicator communicator, Stream stream) override {
    const char* own = static_cast<char*>(bytes) + static_cast<size_t>(position) * count;
    return ncclAllGather(own, bytes, count, ncclUint8, communicator, stream);
  }
  int begin_group() override { return ncclGroupStart(); }
  int end_group() override { return ncclGroupEnd(); }

  Stream make_stream() override {
    int least = 0, most = 0;
    check(cudaDeviceGetStreamPriorityRange(&least, &most), "cudaDeviceGetStreamPriorityRange");
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, most), "cudaStreamCreateWithPriority");
    return stream;
  }
  void free_stream(Stream stream) override {
    if (stream != nullptr) cudaStreamDestroy(stream);
  }
  std::optional<Stream> compute_stream() override { return compute_stream_(); }
  Event make_event() override {
    cudaEvent_t event = nullptr;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    return event;
  }
  void free_event(Event event) override { cudaEventDestroy(event); }
  void record(Event event, Stream stream) override { check(cudaEventRecord(event, stream), "cudaEventRecord"); }
  void wait_for(Event event, Stream stream) override {
    check(cudaStreamWaitEvent(stream, event, 0), "cudaStreamWaitEvent");
  }
  bool passed(Event event) override {
    const cudaError_t error = cudaEventQuery(event);
    if (error == cudaErrorNotReady) {
      cudaGetLastError();  // no error to anybody
      return false;
    }
    check(error, "cudaEventQuery");
    return true;
  }
  void* allocate(size_t bytes) override {
    void* memory = nullptr;
    check(cudaMalloc(&memory, bytes), "cudaMalloc");
    return memory;
  }
  void release(void* memory) override { cudaFree(memory); }

 private:
  const int gpu_;
  const std::function<Stream()> compute_stream_;
  cudaDeviceProp properties_{};
};

}  // namespace

std::unique_ptr<NcclCalls> real_nccl_calls(int gpu, std::function<CUstream_st*()> compute_stream) {
  return std::make_unique<RealCalls>(gpu, std::move(compute_stream));
}

}  // namespace interlock
