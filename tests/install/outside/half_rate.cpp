// A technique that halves every learning rate.

#include "parallel/technique/technique.h"

namespace {

using namespace interlock;

class HalfRate final : public Technique {
 public:
  std::string name() const override { return "half_rate"; }
  std::string summary() const override { return "halves every learning rate"; }
  std::string paper() const override { return "none"; }
  bool chooses_rates() const override { return true; }
  double rate_factor(const ParameterPlace&, int64_t) const override { return 0.5; }
};

const Registration<Technique, const Section&> registered("half_rate",
                                                         [](const Section&) { return std::make_unique<HalfRate>(); });

}  // namespace
