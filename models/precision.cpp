#include "models/precision.h"

namespace interlock {

Precision read_precision(const Section& run) {
  const std::string name = run.one_of("precision", "float32", {"float32", "float64", "bf16"});
  return name == "bf16" ? Precision::bf16 : name == "float64" ? Precision::float64 : Precision::float32;
}

std::string name_of(Precision precision) {
  return precision == Precision::bf16 ? "bf16" : precision == Precision::float64 ? "float64" : "float32";
}

}  // namespace interlock
