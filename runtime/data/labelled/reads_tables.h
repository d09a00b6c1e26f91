#pragma once

namespace interlock {

// A dataset that is one of these reads tables: whoever gives it other files gives it tables, as they are.
class ReadsTables {
 public:
  virtual ~ReadsTables() = default;
};

}  // namespace interlock
