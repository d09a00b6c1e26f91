#pragma once
// The settings of tiny.toml with overrides, and what is said where they are refused.

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "launch/settings/parts.h"
#include "runtime/core/error.h"

namespace interlock {

inline const std::string tiny = std::string(CONFIGS) + "/tiny.toml";

inline RunSettings with(const std::vector<std::string>& overrides) {
  return read_settings(Config::from_file(tiny, overrides));
}

inline std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}
inline std::string refused(const std::vector<std::string>& overrides) {
  return refusal([&] { with(overrides); });
}
// What only the whole set of parts can refuse.
inline std::string refused_whole(const std::vector<std::string>& overrides) {
  return refusal([&] { check_settings(with(overrides)); });
}

}  // namespace interlock
