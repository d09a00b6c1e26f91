#pragma once
// Reading whole files that strangers may have made: regular ones only, so that no device or pipe is read for ever, and
// no more bytes than what is expected there could ever have. Links are followed.

#include <cstdint>
#include <optional>
#include <string>

namespace interlock {

// What a config, a plan's costs or a result may have at most. The largest of ours, with every key, has a few KiB.
inline constexpr uint64_t most_config_bytes = uint64_t{16} << 20;

// nullopt when it cannot be read, is no regular file, is compressed or has more than `most` bytes; `problem` then says
// so.
std::optional<std::string> read_regular_file(const std::string& path, uint64_t most, std::string& problem);
// Whether a file may be opened without waiting for somebody to write to it, and ends. False as well when there is none.
bool is_regular_file(const std::string& path);
// Whether something of this name is there, be it a link that leads nowhere or in a circle: to be read and told of, not
// taken for absent.
bool is_named(const std::string& path);

// The file that was opened last, for a message about a failure that nobody foresaw; "" before any.
void note_file_at_hand(const std::string& path);
std::string file_at_hand();

}  // namespace interlock
