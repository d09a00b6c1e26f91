#pragma once
// What it is worth to know when a model is unsure: how often it is right on what remains when its least certain rows
// are referred to somebody else.

#include <string>
#include <vector>

namespace interlock {

struct JudgedRow {
  double uncertainty = 0;
  bool right = false;
};

struct ReferralPoint {
  double referred = 0;  // share of the rows, the least certain first
  double accuracy = 0;  // on the others
};

// For shares 0, 0.1 .. 0.9. Rows that are equally uncertain share a fate on average: a group that is referred in part
// counts with its mean.
std::vector<ReferralPoint> referral_curve(std::vector<JudgedRow> rows);

// The curve as a picture: one line for each, accuracy over the share referred.
struct ReferralLine {
  std::string name;
  std::vector<ReferralPoint> points;
};
std::string referral_svg(const std::vector<ReferralLine>& lines, const std::string& title);

}  // namespace interlock
