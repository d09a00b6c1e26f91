#pragma once
// The binary form of CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): records of one label byte, or a coarse and a fine one,
// and 3072 bytes: the red, the green and the blue plane of 32 x 32 pixels, row after row. Torch-free.

#include <cstdint>
#include <string>

#include "runtime/storage/mapped_file.h"

namespace interlock {

struct CifarKind {
  int64_t labels = 1;  // bytes of labels in front of a record
  int64_t label = 0;   // which of them is meant
  int64_t classes = 10;
};

class CifarFile {
 public:
  static constexpr int64_t pixels = 3072;
  // Error(bad_input) names the file: no whole number of records, none at all, or a label that is no class.
  CifarFile(const std::string& path, const CifarKind& kind);

  int64_t count() const { return count_; }
  int64_t label(int64_t record) const { return at(record)[kind_.label]; }
  const uint8_t* planes(int64_t record) const { return at(record) + kind_.labels; }

 private:
  const uint8_t* at(int64_t record) const { return data_ + record * (kind_.labels + pixels); }

  MappedFile file_;
  CifarKind kind_;
  const uint8_t* data_;
  int64_t count_ = 0;
};

}  // namespace interlock
