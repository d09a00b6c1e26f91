// Knows the exceptions of LibTorch and of the standard library.
#include "launch/run/failure.h"

#include <c10/util/Exception.h>

#include <new>

namespace interlock {
namespace {

Error no_memory(const std::string& where) {
  if (where.empty()) return Error(ExitCode::gave_up, "out of memory");
  return Error(ExitCode::gave_up, message("out of memory ", where,
                                          "; a smaller parallel.microbatch_size, more ranks or fewer microbatches need "
                                          "less"));
}

// LibTorch's text says what was asked for, what is held and what is free; its advice for programmers follows behind.
Error no_gpu_memory(const std::string& where, const std::string& what) {
  const std::string told = what.substr(0, what.find(" If reserved but unallocated"));
  return Error(ExitCode::gave_up, message("out of memory on the GPU", where.empty() ? "" : " " + where,
                                          "; a smaller parallel.microbatch_size, run.recompute = \"block\", more ranks "
                                          "on other GPUs or fewer microbatches need less (",
                                          told, ")"));
}

Error failed(const std::string& where, const std::string& what) {
  return Error(ExitCode::gave_up, where.empty() ? what : message("failed ", where, ": ", what));
}

}  // namespace

Error as_error(const std::string& where) {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return no_memory(where);
  } catch (const c10::OutOfMemoryError& problem) {
    return no_gpu_memory(where, problem.what_without_backtrace());
  } catch (const c10::Error& problem) {
    const std::string what = problem.what_without_backtrace();  // what() adds a stack trace
    return what.find("can't allocate memory") != std::string::npos ? no_memory(where) : failed(where, what);
  } catch (const std::exception& problem) {
    return failed(where, problem.what());
  }
}

}  // namespace interlock
