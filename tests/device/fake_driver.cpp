// A libcuda.so.1 that answers what the environment says: FAKE_DRIVER is "none" (no device), or a number of GPUs.
// Where there are GPUs it starts a thread of its own, as the real one does.
#include <pthread.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace {

void* sleep_for_ever(void*) {
  for (;;) pause();
}

}  // namespace

extern "C" {

int cuInit(unsigned) {
  const char* told = std::getenv("FAKE_DRIVER");
  if (told && std::strcmp(told, "none") == 0) return 100;
  pthread_t thread;
  if (told && std::atoi(told) > 0 && pthread_create(&thread, nullptr, sleep_for_ever, nullptr) == 0)
    pthread_detach(thread);
  return 0;
}
int cuDeviceGetCount(int* count) {
  const char* told = std::getenv("FAKE_DRIVER");
  *count = told ? std::atoi(told) : 0;
  return 0;
}
int cuDriverGetVersion(int* version) {
  *version = 13000;
  return 0;
}
int cuGetErrorString(int, const char** text) {
  *text = "no CUDA-capable device is detected";
  return 0;
}
}
