#pragma once
// Log lines of one process, over spdlog. Goes to stderr; rank 0 and single processes log all, other ranks warnings and
// worse. (spdlog itself is included by log.cpp alone: LibTorch ships another fmt, and the two must not meet in one
// file.)

#include <string>

namespace interlock {

void start_log(int rank);  // rank < 0: not part of a run, no prefix
void log_info(const std::string& text);
void log_warning(const std::string& text);
void log_error(const std::string& text);
void flush_log();
// The reason why this process ends, as "interlock: error: TEXT" on stderr in one write: the launcher merges the output
// of all ranks, and would mix the pieces of several.
void say_error(const std::string& text);

}  // namespace interlock
