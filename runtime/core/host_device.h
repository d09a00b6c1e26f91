#pragma once
// For functions that run on the host and in kernels alike: a kernel's arithmetic is such a function, which everyday
// tests hold to the truth where there is no GPU.

#ifdef __CUDACC__
#define INTERLOCK_HOST_DEVICE __host__ __device__
#else
#define INTERLOCK_HOST_DEVICE
#endif
