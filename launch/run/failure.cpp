// Knows the exceptions of LibTorch and of the standard library.
#include "launch/run/failure.h"

#include <c10/util/Exception.h>

#include <filesystem>
#include <new>
#include <stdexcept>

#include "runtime/core/printable.h"
#include "runtime/core/readable_file.h"

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

// A size that no memory has: the containers' way of saying so, which names them and nothing else.
Error too_much(const std::string& where) {
  return Error(ExitCode::gave_up,
               message("something asks for more memory than there can be", where.empty() ? "" : " " + where,
                       "; look for a number that is far too large in the config or the file"));
}

std::string file_words() {
  const std::string file = file_at_hand();
  return file.empty() ? "" : message("The file read last is ", printable(file), ". ");
}

Error unforeseen(const std::string& command, const std::string& what) {
  return Error(
      ExitCode::gave_up,
      message("`interlock ", command, "` came upon something that nobody foresaw: ", printable(what), ". ",
              file_words(), "This is a fault of Interlock: please report it, with the command and this message"));
}

}  // namespace

Error as_error(const std::string& where) {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return no_memory(where);
  } catch (const std::length_error&) {
    return too_much(where);
  } catch (const c10::OutOfMemoryError& problem) {
    return no_gpu_memory(where, problem.what_without_backtrace());
  } catch (const c10::Error& problem) {
    const std::string what = problem.what_without_backtrace();  // what() adds a stack trace
    return what.find("can't allocate memory") != std::string::npos ? no_memory(where) : failed(where, what);
  } catch (const std::exception& problem) {
    return failed(where, problem.what());
  }
}

Error last_error(const std::string& command) {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return as_error();
  } catch (const std::length_error&) {
    return as_error();
  } catch (const c10::OutOfMemoryError&) {
    return as_error();
  } catch (const c10::Error& problem) {
    const Error error = as_error();
    return std::string(error.what()) == no_memory("").what() ? error
                                                             : unforeseen(command, problem.what_without_backtrace());
  } catch (const std::filesystem::filesystem_error& problem) {
    return Error(ExitCode::bad_input, message(problem.path1().string(), ": ", problem.code().message()));
  } catch (const std::exception& problem) {
    return unforeseen(command, problem.what());
  } catch (...) {
    return unforeseen(command, "an exception that says nothing");
  }
}

}  // namespace interlock
