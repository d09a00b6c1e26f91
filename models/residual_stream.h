#pragma once

namespace interlock {

// A model whose blocks add what they make to a residual. In a pre-norm network no norm changes that sum on its way to
// the readout: a part that is left out, or scaled, changes nothing but its own term.
class ResidualStream {
 public:
  virtual ~ResidualStream() = default;
  virtual bool has_residual_stream() const = 0;  // pre-norm
};

}  // namespace interlock
