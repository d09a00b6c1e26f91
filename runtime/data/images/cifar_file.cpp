#include "runtime/data/images/cifar_file.h"

#include "runtime/core/error.h"

namespace interlock {

CifarFile::CifarFile(const std::string& path, const CifarKind& kind)
    : file_(path), kind_(kind), data_(reinterpret_cast<const uint8_t*>(file_.bytes().data())) {
  const auto size = static_cast<int64_t>(file_.bytes().size()), record = kind.labels + pixels;
  count_ = size / record;
  const auto refuse = [&](const std::string& what) { throw Error(ExitCode::bad_input, message(path, ": ", what)); };
  if (size == 0) refuse("it holds no record");
  if (size % record != 0)
    refuse(message(size, " bytes are ", count_, " records of ", record, " bytes and ", size % record,
                   " more: cut short, or not the binary form of CIFAR-", kind.labels == 1 ? 10 : 100));
  for (int64_t i = 0; i < count_; ++i)
    if (label(i) >= kind.classes)
      refuse(message("record ", i, " has the label ", label(i), ", and there are ", kind.classes, " classes"));
}

}  // namespace interlock
