// Numbers as people read them, tables, and pictures that hold what they are given.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "launch/page/bar_picture.h"
#include "launch/page/chart.h"
#include "launch/page/markup.h"
#include "launch/page/page.h"
#include "launch/page/table.h"
#include "launch/page/timeline_picture.h"
#include "tests/support/html.h"

namespace interlock {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Markup, Numbers) {
  EXPECT_EQ(significant(0), "0");
  EXPECT_EQ(significant(1234), "1234");
  EXPECT_EQ(significant(12345), "12.3 k");
  EXPECT_EQ(significant(1234567), "1.23 M");
  EXPECT_EQ(significant(2.5e15), "2.5 P");
  EXPECT_EQ(significant(0.00012), "1.2e-4");
  EXPECT_EQ(significant(-0.25), "-0.25");
  EXPECT_EQ(significant(1.5), "1.5");
  EXPECT_EQ(percent(0.1234), "12.3 %");
  EXPECT_EQ(duration(0.0123), "12.3 ms");
  EXPECT_EQ(duration(200), "3 min 20 s");
  EXPECT_EQ(duration(3900), "1 h 5 min");
  EXPECT_EQ(bytes(1536 * 1024.0), "1.5 MiB");
  EXPECT_EQ(coordinate(-0.001), "0");
  EXPECT_EQ(escaped("a<b>\"&\x01"), "a&lt;b&gt;&quot;&amp;?");
}

TEST(Table, HtmlAndMarkdown) {
  const Table table{"What <came> out", {"rule", "loss"}, {{"sum(2)", "1|2"}, {"<b>", "3"}}, {"", "reference"}};
  const std::string html = html_of(table);
  expect_balanced(html);
  EXPECT_THAT(html, HasSubstr("<caption>What &lt;came&gt; out</caption>"));
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\">&lt;b&gt;</th>"));
  EXPECT_THAT(html, HasSubstr("<tr class=\"reference\">"));
  EXPECT_EQ(markdown_of(table), "| rule | loss |\n| --- | --- |\n| sum(2) | 1\\|2 |\n| <b> | 3 |\n");
}

TEST(Chart, SaysInWordsWhatItShows) {
  const Chart chart{"Loss", "step", "nats", {{"sum(2)", 1, {{1, 5, 4.5, 5.5, ""}, {10, 3, 2.5, 3.5, ""}}}}};
  const std::string svg = figure_of(chart);
  expect_balanced(svg);
  EXPECT_THAT(svg, HasSubstr("nats against step. sum(2): 5 at 1 and 3 at 10."));
  EXPECT_THAT(svg, HasSubstr("class=\"band s1\""));
}

TEST(Table, IntervalsStandOnALineOfTheirOwn) {
  EXPECT_THAT(html_of(Table{"Losses", {"rule", "loss"}, {{"sum(2)", "1.2 [1.1, 1.3]"}}}),
              HasSubstr("<td>1.2<br/>[1.1, 1.3]</td>"));
}

// Losses that are close to each other need more digits than losses mostly do.
TEST(Chart, LabelsOfAnAxisDiffer) {
  const std::string svg =
      figure_of(Chart{"Loss", "step", "nats", {{"a", 0, {{1, 0.6591, 1, 0, ""}, {2, 0.6599, 1, 0, ""}}}}});
  EXPECT_THAT(svg, HasSubstr(">0.6592</text>"));
  EXPECT_THAT(svg, HasSubstr(">0.6594</text>"));
  EXPECT_THAT(svg, Not(HasSubstr(">0.659</text>")));
}

TEST(Chart, LeavesOutWhatHasNoPlace) {
  const double none = std::numeric_limits<double>::quiet_NaN(), endless = std::numeric_limits<double>::infinity();
  EXPECT_EQ(figure_of(Chart{"Loss", "step", "nats", {{"a", 0, {{1, none, 1, 0, ""}, {2, endless, 1, 0, ""}}}}}), "");
  Chart logarithmic{"Loss", "x", "y", {{"a", 0, {{0, 1, 1, 0, ""}, {10, 1, 1, 0, ""}, {1000, 2, 1, 0, ""}}}}};
  logarithmic.log_x = true;
  const std::string svg = figure_of(logarithmic);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, HasSubstr("a: 1 at 10 and 2 at 1000"));
  // One point, and points of one value, still have axes.
  for (const std::vector<ChartPoint>& points :
       {std::vector<ChartPoint>{{3, 0, 1, 0, "x"}}, {{1, 2, 1, 0, ""}, {2, 2, 1, 0, ""}}}) {
    const std::string flat = figure_of(Chart{"Flat", "x", "y", {{"", 0, points}}});
    EXPECT_THAT(flat, Not(HasSubstr("nan")));
    EXPECT_THAT(flat, Not(HasSubstr("inf")));
    expect_balanced(flat);
  }
}

TEST(Pictures, BarsAndTimeline) {
  const std::string bars = figure_of(BarPicture{"Ranks", {"computing", "waiting"}, {{"rank 0", {0.75, 0.25}}}});
  expect_balanced(bars);
  EXPECT_THAT(bars, HasSubstr("rank 0: computing 75.0 %, waiting 25.0 %."));
  EXPECT_EQ(figure_of(BarPicture{"Ranks", {"computing"}, {}}), "");
  const TimelinePicture picture{
      "Step", "in words", {{"measured", {"rank 0"}, {{{'F', 0, 0.5, "F0"}, {'.', 0.5, 1, ""}}}}}};
  const std::string timeline = figure_of(picture);
  expect_balanced(timeline);
  EXPECT_THAT(timeline, HasSubstr("url(#k-F)"));
  EXPECT_THAT(timeline, HasSubstr(">F0</text>"));
  EXPECT_THAT(timeline, HasSubstr("waiting</text>"));
  EXPECT_EQ(figure_of(TimelinePicture{"Step", "", {{"none", {"rank 0"}, {{}}}}}), "");
}

TEST(Page, StandsAlone) {
  const std::string page =
      page_of("A <title>", "<p>lead</p>", {{"One", paragraph("a & b")}, {"Two", list_of({"x", "y"})}});
  expect_whole_page(page);
  EXPECT_THAT(page, HasSubstr("<title>A &lt;title&gt;</title>"));
  EXPECT_THAT(page, HasSubstr("<li><a href=\"#s2\">Two</a></li>"));
}

}  // namespace
}  // namespace interlock
