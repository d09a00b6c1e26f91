// The pictures of a timeline: their structure against the simulation they show, and that the SVG is well-formed XML.

#include "launch/plan_report/timeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <regex>
#include <set>
#include <sstream>
#include <string_view>

namespace interlock {
namespace {

using testing::HasSubstr;

Plan plan_of(const std::string& rule, int stages, int ranks, int microbatches) {
  PlanRequest request;
  request.shape = {.stages = stages, .ranks = ranks, .microbatches = microbatches};
  RuleRequest asked;
  asked.rule = rule;
  request.rule = make_rule(asked, stages);
  return make_plan(request);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// Between the bars of a rank's line.
std::string track(const std::string& line) {
  const size_t begin = line.find('|'), end = line.rfind('|');
  return line.substr(begin + 1, end - begin - 1);
}

// Not a matcher: a failure would print the whole picture.
bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

// Enough of an XML reader to refuse what a browser would: tags nest, attributes are quoted and told once, & is an
// entity.
class XmlReader {
 public:
  explicit XmlReader(std::string_view text) : rest_(text) {}

  // Empty when well-formed, else what is wrong.
  std::string fault() {
    while (!rest_.empty() && fault_.empty()) rest_.front() == '<' ? tag() : character();
    if (fault_.empty() && !open_.empty()) return "<" + open_.back() + "> is not closed";
    if (fault_.empty() && roots_ != 1) return "not one root";
    return fault_;
  }

 private:
  static bool is_name(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == ':' || c == '-' || c == '_';
  }
  void fail(const std::string& what) { fault_ = what + " before: " + std::string(rest_.substr(0, 40)); }
  bool take(std::string_view part) {
    if (!rest_.starts_with(part)) return false;
    rest_.remove_prefix(part.size());
    return true;
  }
  std::string name() {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_name);
    const std::string taken(rest_.begin(), end);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  void character() {
    const char c = rest_.front();
    if (open_.empty() && !std::isspace(static_cast<unsigned char>(c))) return fail("text outside the root");
    if (c == '&') {
      for (const std::string_view entity : {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"})
        if (take(entity)) return;
      return fail("a bare &");
    }
    if (c == '>' || (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t'))
      return fail("an illegal character");
    rest_.remove_prefix(1);
  }
  void tag() {
    rest_.remove_prefix(1);
    if (take("/")) {
      if (open_.empty() || name() != open_.back() || !take(">")) return fail("a wrong closing tag");
      return open_.pop_back();
    }
    const std::string tag_name = name();
    if (tag_name.empty()) return fail("a tag without name");
    if (open_.empty()) ++roots_;
    std::set<std::string> attributes;
    while (take(" ")) {
      const std::string attribute = name();
      if (attribute.empty() || !attributes.insert(attribute).second || !take("=\"")) return fail("a bad attribute");
      const size_t end = rest_.find('"');
      if (end == std::string_view::npos || rest_.substr(0, end).find('<') != std::string_view::npos)
        return fail("an open quote");
      rest_.remove_prefix(end + 1);
    }
    if (take("/>")) return;
    if (!take(">")) return fail("an open tag");
    open_.push_back(tag_name);
  }

  std::string_view rest_;
  std::vector<std::string> open_;
  std::string fault_;
  int roots_ = 0;
};

TEST(XmlReader, RefusesWhatIsNotXml) {
  EXPECT_EQ(XmlReader("<a><b c=\"1\"/>x &amp; y</a>\n").fault(), "");
  for (const char* bad :
       {"<a>", "<a></b>", "<a b=1/>", "<a>&</a>", "<a/><a/>", "<a b=\"1\" b=\"2\"/>", "<a>\x01</a>", "x<a/>"})
    EXPECT_NE(XmlReader(bad).fault(), "") << bad;
}

TEST(TimelineText, ShowsEveryActionOnceAndEachIdleUnit) {
  const Plan plan = plan_of("global", 4, 4, 4);
  const Simulation simulation = simulate(plan, SimulationCosts::unit(4), 1, true);
  const auto lines = lines_of(timeline_text(plan, simulation, {}, 100));
  ASSERT_EQ(lines.size(), 5u);  // ranks and the axis
  // One step of 1F1B takes 3 (4 + 4 - 1) = 21 units; of 91 columns that gives 4 each.
  for (size_t rank = 0; rank < 4; ++rank) {
    EXPECT_THAT(lines[rank], HasSubstr("rank " + std::to_string(rank) + " |"));
    const std::string line = track(lines[rank]);
    EXPECT_EQ(line.size(), 21u * 4);
    for (int microbatch = 0; microbatch < 4; ++microbatch)
      EXPECT_EQ(count(line, "F" + std::to_string(microbatch) + "--"), 1u) << line;
    // Forward 1 and both gradients 2 for each of 4 microbatches leave 9 of 21 units.
    EXPECT_EQ(std::count(line.begin(), line.end(), '.'), 9 * 4) << line;
  }
  EXPECT_THAT(lines[4], HasSubstr("21 units"));
  EXPECT_EQ(lines[4].size(), lines[0].size() - 1);
}

TEST(TimelineText, StaysInsideTheColumns) {
  const Plan plan = plan_of("furthest", 4, 4, 30);
  const Simulation simulation = simulate(plan, SimulationCosts::unit(4), 2, true);
  for (const int columns : {40, 80, 100, 333})
    for (const auto& line : lines_of(timeline_text(plan, simulation, {}, columns)))
      EXPECT_LE(line.size(), static_cast<size_t>(columns)) << line;
}

TEST(TimelineText, NamesStagesWhereARankHoldsSeveral) {
  const Plan plan = plan_of("global", 4, 2, 1);
  const Simulation simulation = simulate(plan, SimulationCosts::unit(4), 1, true);
  const auto wide = lines_of(timeline_text(plan, simulation, {}, 100));
  EXPECT_THAT(wide[0], HasSubstr("0F0"));
  EXPECT_THAT(wide[0], HasSubstr("1F0"));
  EXPECT_THAT(wide[1], HasSubstr("3F0"));
  // Too narrow for the stage: no bar names it, so that no label can be read two ways.
  const auto narrow = lines_of(timeline_text(plan, simulation, {}, 34));
  EXPECT_EQ(track(narrow[0]), "F0F0............B0--W0--");
}

TEST(TimelineText, AnEmptyTimelineIsEmpty) {
  const Plan plan = plan_of("global", 2, 2, 1);
  EXPECT_EQ(timeline_text(plan, Simulation{}, {}), "");
}

TEST(TimeUnit, PicksAReadableUnit) {
  EXPECT_EQ(TimeUnit::of_seconds(2).text(2.5), "2.50 s");
  EXPECT_EQ(TimeUnit::of_seconds(0.0123).text(0.0123), "12.3 ms");
  EXPECT_EQ(TimeUnit::of_seconds(4e-4).text(4e-4), "400 us");
  EXPECT_EQ(TimeUnit{}.text(21), "21 units");
}

TEST(TimelineSvg, IsWellFormedAndEscapes) {
  const Plan plan = plan_of("sum", 4, 2, 4);
  const Simulation simulation = simulate(plan, SimulationCosts::unit(4), 2, true);
  const std::string svg = timeline_svg(plan, simulation, {}, "a < b & \"c\" > d \x01");
  EXPECT_EQ(XmlReader(svg).fault(), "");
  EXPECT_TRUE(contains(svg, "<title>a &lt; b &amp; &quot;c&quot; &gt; d ?</title>"));
  EXPECT_TRUE(contains(svg, "xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_EQ(svg.find("href"), std::string::npos) << "the file must stand alone";
  EXPECT_TRUE(contains(svg, "rank 0 (stages 0,1)"));
  EXPECT_TRUE(contains(svg, "time in units (simulated)"));
}

TEST(TimelineSvg, NamesTheStagesOfAPlacementByHand) {
  PlanRequest request;
  request.shape = {.stages = 4, .ranks = 2, .placement = Placement::by_hand({0, 1, 0, 0})};
  request.rule = make_rule({.rule = "local"}, 4);
  const Plan plan = make_plan(request);
  const std::string svg = timeline_svg(plan, simulate(plan, SimulationCosts::unit(4), 2, true), {}, "t");
  EXPECT_TRUE(contains(svg, "rank 0 (stages 0,2,3)"));
  EXPECT_TRUE(contains(svg, "rank 1 (stage 1)"));
}

TEST(TimelineSvg, HasABarForEveryActionOfSomeLength) {
  const Plan plan = plan_of("furthest", 4, 4, 4);
  SimulationCosts costs = SimulationCosts::unit(4);
  for (auto& stage : costs.stages) stage.loss = stage.update = 0.5;
  const Simulation simulation = simulate(plan, costs, 2, true);
  const auto timed = static_cast<size_t>(std::count_if(simulation.timeline.begin(), simulation.timeline.end(),
                                                       [](const auto& a) { return a.end > a.begin; }));
  const std::string svg = timeline_svg(plan, simulation, {}, "t");
  EXPECT_EQ(count(svg, ", step "), timed);  // tooltips
  EXPECT_TRUE(contains(svg, "<title>1I2@1, step 1, from "));
  EXPECT_TRUE(contains(svg, ">F3</text>"));
  // The legend tells the kinds that occur, and no other.
  for (const char* meaning : {"F forward", "L head and loss", "I input gradient", "W weight gradient", "B backward",
                              "U update", "idle", "pale"})
    EXPECT_TRUE(contains(svg, std::string(">") + meaning));
  const Plan plain = plan_of("local", 2, 2, 1);
  const std::string other = timeline_svg(plain, simulate(plain, SimulationCosts::unit(2), 1, true), {}, "t");
  EXPECT_FALSE(contains(other, "I input gradient"));
  EXPECT_FALSE(contains(other, ">pale"));
}

// Told apart without colour: each kind has a hatching of its own, and all colours differ.
TEST(TimelineSvg, KindsDifferByColourAndHatching) {
  const Plan plan = plan_of("global", 2, 2, 1);
  const std::string svg = timeline_svg(plan, simulate(plan, SimulationCosts::unit(2), 1, true), {}, "t");
  const std::regex pattern("<pattern id=\"([A-Z])\"[^>]*><rect[^>]*fill=\"(#[0-9A-F]{6})\"/><path d=\"([^\"]*)\"");
  std::set<std::string> letters, colours, hatches;
  for (std::sregex_iterator it(svg.begin(), svg.end(), pattern), end; it != end; ++it) {
    letters.insert((*it)[1]);
    colours.insert((*it)[2]);
    hatches.insert((*it)[3]);
  }
  EXPECT_EQ(letters, (std::set<std::string>{"B", "F", "I", "L", "U", "W"}));
  EXPECT_EQ(colours.size(), 6u);
  EXPECT_EQ(hatches.size(), 6u);
}

TEST(TimelineSvg, JoinsWhatIsTooNarrowToSee) {
  const Plan plan = plan_of("furthest", 4, 4, 1000);
  const std::string svg = timeline_svg(plan, simulate(plan, SimulationCosts::unit(4), 1, true), {}, "t");
  EXPECT_EQ(XmlReader(svg).fault(), "");
  EXPECT_TRUE(contains(svg, ">many short actions"));
  // 12,000 actions on 4 x 1120 pixels: far fewer boxes than actions.
  EXPECT_LT(count(svg, "<rect"), 5000u);
}

}  // namespace
}  // namespace interlock
