// A library that stands before the C library (LD_PRELOAD) and spoils the n-th call of one kind that concerns a file:
//   SPOIL_CALL  write | fsync | close | open | rename | mkdir | unlink
//   SPOIL_AT    n, counted from 1
//   SPOIL_HOW   an errno, or "short": a write takes only a part
// Says "spoilt" on standard output when it does so. Calls on standard input and output are not counted.

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

template <class Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// The errno to fail with, -1 for a short write, 0 when this call is left alone.
int spoilt(const char* call) {
  static long count = 0;
  const char *wanted = getenv("SPOIL_CALL"), *at = getenv("SPOIL_AT"), *how = getenv("SPOIL_HOW");
  if (wanted == nullptr || at == nullptr || how == nullptr || strcmp(wanted, call) != 0) return 0;
  if (++count != atol(at)) return 0;
  if (real<ssize_t (*)(int, const void*, size_t)>("write")(1, "spoilt\n", 7) != 7) abort();
  return strcmp(how, "short") == 0 ? -1 : atoi(how);
}

int fail(int reason) {
  errno = reason;
  return -1;
}

}  // namespace

extern "C" {

ssize_t write(int file, const void* data, size_t size) {
  const auto call = real<ssize_t (*)(int, const void*, size_t)>("write");
  const int how = file > 2 ? spoilt("write") : 0;
  if (how > 0) return fail(how);
  return call(file, data, how < 0 ? (size + 1) / 2 : size);
}

int fsync(int file) {
  const int how = spoilt("fsync");
  return how > 0 ? fail(how) : real<int (*)(int)>("fsync")(file);
}

// The file is closed all the same, as Linux does it.
int close(int file) {
  const int how = file > 2 ? spoilt("close") : 0;
  const int status = real<int (*)(int)>("close")(file);
  return how > 0 ? fail(how) : status;
}

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  const int how = spoilt("open");
  return how > 0 ? fail(how) : real<int (*)(const char*, int, ...)>("open")(path, flags, mode);
}

int rename(const char* from, const char* to) {
  const int how = spoilt("rename");
  return how > 0 ? fail(how) : real<int (*)(const char*, const char*)>("rename")(from, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  const int how = spoilt("rename");
  return how > 0 ? fail(how)
                 : real<int (*)(int, const char*, int, const char*, unsigned)>("renameat2")(from_folder, from,
                                                                                            to_folder, to, flags);
}

int mkdir(const char* path, mode_t mode) {
  const int how = spoilt("mkdir");
  return how > 0 ? fail(how) : real<int (*)(const char*, mode_t)>("mkdir")(path, mode);
}

int unlinkat(int folder, const char* path, int flags) {
  const int how = spoilt("unlink");
  return how > 0 ? fail(how) : real<int (*)(int, const char*, int)>("unlinkat")(folder, path, flags);
}

}  // extern "C"
