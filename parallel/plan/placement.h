#pragma once
// Which rank holds which stage, as data: the rank of each stage.

#include <string>
#include <vector>

namespace interlock {

class Placement {
 public:
  Placement() = default;  // of no stage
  // "contiguous": stages 0,1 | 2,3 for 4 stages on 2 ranks; "interleaved": 0,2 | 1,3; "v", up the ranks and down again:
  // 0,3 | 1,2. All give each rank equally many: of no stage where `ranks` does not divide `stages` (PlanShape::check
  // says so). Error(config): unknown name.
  static Placement named(const std::string& name, int stages, int ranks);
  static std::vector<std::string> names();
  // The rank of each stage; ranks may hold unequally many.
  static Placement by_hand(std::vector<int> rank_of_stage);

  const std::string& name() const { return name_; }  // "" by hand
  bool is_by_hand() const { return name_.empty(); }
  const std::vector<int>& rank_of_stage() const { return rank_of_stage_; }
  std::vector<int> stages_of(int rank) const;  // ascending
  bool is_one_each() const;                    // rank k holds stage k and no other
  std::string text() const;                    // the name, or "0 0 1 1"

  // Error(config) that begins with the key: a list of another length, a rank out of range, a rank that holds no stage.
  void check(int stages, int ranks) const;

  friend bool operator==(const Placement&, const Placement&) = default;

 private:
  std::string name_;
  std::vector<int> rank_of_stage_;
};

}  // namespace interlock
