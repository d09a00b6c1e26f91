// A libcuda.so.1 that answers what the environment says: FAKE_DRIVER is "none" (no device), or a number of GPUs.
#include <cstdlib>
#include <cstring>

extern "C" {

int cuInit(unsigned) {
  const char* told = std::getenv("FAKE_DRIVER");
  return told && std::strcmp(told, "none") == 0 ? 100 : 0;
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
