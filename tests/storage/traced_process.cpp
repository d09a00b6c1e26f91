// Follows one process from system call to system call.

#include "tests/storage/traced_process.h"

#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <optional>

namespace interlock {
namespace {

// The call as its number and arguments say; what it did is filled in when it has returned.
struct Entered {
  FileCall::Kind kind{};
  int folder = AT_FDCWD, new_folder = AT_FDCWD;
  uint64_t path = 0, new_path = 0;
  uint64_t file = 0, data = 0;
  bool creates = false;
};

std::optional<Entered> file_call(uint64_t number, const uint64_t* a) {
  using Kind = FileCall::Kind;
  const auto open = [](int folder, uint64_t path, uint64_t flags) {
    return Entered{.kind = Kind::open, .folder = folder, .path = path, .creates = (flags & (O_CREAT | O_TRUNC)) != 0};
  };
  switch (number) {
    case SYS_openat:
      return open(static_cast<int>(a[0]), a[1], a[2]);
    case SYS_write:
      return Entered{.kind = Kind::write, .file = a[0], .data = a[1]};
    case SYS_fsync:
    case SYS_fdatasync:
      return Entered{.kind = Kind::sync, .file = a[0]};
    case SYS_close:
      return Entered{.kind = Kind::close, .file = a[0]};
    case SYS_renameat:
    case SYS_renameat2:
      return Entered{.kind = number == SYS_renameat2 && a[4] == RENAME_EXCHANGE ? Kind::exchange : Kind::rename,
                     .folder = static_cast<int>(a[0]),
                     .new_folder = static_cast<int>(a[2]),
                     .path = a[1],
                     .new_path = a[3]};
    case SYS_mkdirat:
      return Entered{.kind = Kind::make_folder, .folder = static_cast<int>(a[0]), .path = a[1]};
    case SYS_unlinkat:
      return Entered{.kind = Kind::remove, .folder = static_cast<int>(a[0]), .path = a[1]};
#ifdef SYS_open  // processors that came before the calls relative to a folder have these too
    case SYS_open:
      return open(AT_FDCWD, a[0], a[1]);
    case SYS_rename:
      return Entered{.kind = Kind::rename, .path = a[0], .new_path = a[1]};
    case SYS_mkdir:
      return Entered{.kind = Kind::make_folder, .path = a[0]};
    case SYS_unlink:
    case SYS_rmdir:
      return Entered{.kind = Kind::remove, .path = a[0]};
#endif
    default:
      return std::nullopt;
  }
}

bool changes_files(const Entered& call) { return call.kind != FileCall::Kind::open || call.creates; }

}  // namespace

TracedProcess::TracedProcess(const std::vector<std::string>& words) {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) {
    problem_ = std::strerror(errno);
    return;
  }
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  child_ = ::fork();
  if (child_ == 0) {
    ::dup2(pipe[1], STDOUT_FILENO);
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(126);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(pipe[1]);
  output_ = pipe[0];
  ::fcntl(output_, F_SETFL, O_NONBLOCK);
  int status = 0;
  if (::waitpid(child_, &status, 0) != child_ || !WIFSTOPPED(status)) {
    problem_ = "ptrace is not allowed here";
    ended_ = true;
    return;
  }
  if (::ptrace(PTRACE_SETOPTIONS, child_, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0) {
    problem_ = std::strerror(errno);
  }
}

TracedProcess::~TracedProcess() {
  if (!ended_ && child_ > 0) {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  if (output_ >= 0) ::close(output_);
}

bool TracedProcess::next_stop() {
  int deliver = 0;
  while (true) {
    int status = 0;
    if (::ptrace(PTRACE_SYSCALL, child_, nullptr, deliver) != 0 || ::waitpid(child_, &status, 0) != child_ ||
        WIFEXITED(status) || WIFSIGNALED(status)) {
      ended_ = true;
      return false;
    }
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) return true;
    deliver = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
  }
}

bool TracedProcess::kill_at(int64_t n) {
  while (next_stop()) {
    __ptrace_syscall_info info{};
    ::ptrace(PTRACE_GET_SYSCALL_INFO, child_, sizeof info, &info);
    if (info.op != PTRACE_SYSCALL_INFO_ENTRY) continue;
    const auto call = file_call(info.entry.nr, reinterpret_cast<const uint64_t*>(info.entry.args));
    if (!call || !changes_files(*call) || --n > 0) continue;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    ended_ = true;
    return true;
  }
  return false;
}

void TracedProcess::record(const std::function<void(const FileCall&)>& tell) {
  std::optional<Entered> entered;
  while (next_stop()) {
    __ptrace_syscall_info info{};
    ::ptrace(PTRACE_GET_SYSCALL_INFO, child_, sizeof info, &info);
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
      entered = file_call(info.entry.nr, reinterpret_cast<const uint64_t*>(info.entry.args));
      continue;
    }
    if (info.op != PTRACE_SYSCALL_INFO_EXIT || !entered || info.exit.is_error != 0) continue;
    FileCall call{.kind = entered->kind, .file = static_cast<int>(entered->file), .creates = entered->creates};
    if (entered->path != 0) call.path = absolute(entered->folder, path_at(entered->path));
    if (entered->new_path != 0) call.new_path = absolute(entered->new_folder, path_at(entered->new_path));
    if (call.kind == FileCall::Kind::open) call.file = static_cast<int>(info.exit.rval);
    if (call.kind == FileCall::Kind::write) {
      call.data.resize(static_cast<size_t>(info.exit.rval));
      const iovec here{call.data.data(), call.data.size()};
      const iovec there{reinterpret_cast<void*>(entered->data), call.data.size()};
      if (::process_vm_readv(child_, &here, 1, &there, 1, 0) != info.exit.rval) call.data = "(unread)";
    }
    tell(call);
    entered.reset();
  }
}

std::string TracedProcess::output() {
  std::string text;
  char buffer[4096];
  for (ssize_t got; (got = ::read(output_, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(got));
  return text;
}

// Piece by piece, because what lies behind the end of the text may not be readable.
std::string TracedProcess::path_at(uint64_t address) const {
  std::string text;
  while (true) {
    errno = 0;
    const long word = ::ptrace(PTRACE_PEEKDATA, child_, reinterpret_cast<void*>(address + text.size()), nullptr);
    if (errno != 0) return text;
    char bytes[sizeof word];
    std::memcpy(bytes, &word, sizeof word);
    for (const char byte : bytes) {
      if (byte == '\0') return text;
      text += byte;
    }
  }
}

std::string TracedProcess::absolute(int folder, const std::string& path) const {
  if (path.starts_with('/')) return path;
  std::error_code problem;
  const std::string process = "/proc/" + std::to_string(child_);
  const std::string link = folder == AT_FDCWD ? process + "/cwd" : process + "/fd/" + std::to_string(folder);
  return (std::filesystem::read_symlink(link, problem) / path).string();
}

}  // namespace interlock
