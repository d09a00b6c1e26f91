// The text form against itself and against input that was not made by us.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "parallel/plan/plan_check.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string small_text() {
  return "interlock plan 1\n"
         "# two stages that learn from their own losses\n"
         "stages 2\nranks 2\nreplicas 1\nmicrobatches 1\nplacement contiguous\nschedule by hand\nheads needed\n"
         "norm_over_model no\ntied no\nevaluation no\nrule local\nmatrix\n1 0\n0 1\n\n"
         "rank 0: 0F0 0SEND_F0 0L0 0W0 0U\n"
         "rank 1: 1RECV_F0 1F0 1L0 1W0 1U # the end\n";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string refusal(const std::string& text) {
  try {
    parse_plan(text, "hand.plan");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    return error.what();
  }
  return "not refused";
}

TEST(PlanText, APlanWrittenByHandIsReadAndProved) {
  const Plan plan = parse_plan(small_text(), "hand.plan");
  EXPECT_EQ(plan.schedule, "by hand");
  EXPECT_EQ(plan.ranks[0].size(), 5u);
  EXPECT_NO_THROW(plan_check(plan));
  EXPECT_EQ(print_plan(parse_plan(print_plan(plan), "again")), print_plan(plan));
  // Windows line ends and tabs are blanks.
  EXPECT_EQ(parse_plan(replaced(small_text(), "rank 0: 0F0 0", "rank\t0:\t0F0  \t0"), "x").ranks, plan.ranks);
  std::string crlf;
  for (char c : small_text()) crlf += c == '\n' ? "\r\n" : std::string(1, c);
  EXPECT_EQ(parse_plan(crlf, "x").ranks, plan.ranks);
}

TEST(PlanText, APlacementIsANameOrTheRankOfEachStage) {
  const auto placed = [](const std::string& words) { return replaced(small_text(), "contiguous", words); };
  // A list says the same as the name does, and stays a list; it may come before what it is for.
  const Plan list = parse_plan(placed("0\t1"), "x");
  EXPECT_EQ(list.shape.placement.rank_of_stage(), parse_plan(small_text(), "x").shape.placement.rank_of_stage());
  EXPECT_THAT(print_plan(list), HasSubstr("\nplacement 0 1\n"));
  EXPECT_EQ(print_plan(parse_plan(print_plan(list), "again")), print_plan(list));
  EXPECT_THAT(print_plan(parse_plan(placed("interleaved"), "x")), HasSubstr("\nplacement interleaved\n"));
  const std::string first =
      replaced(replaced(small_text(), "placement contiguous\n", ""), "stages 2", "placement 0 1\nstages 2");
  EXPECT_EQ(print_plan(parse_plan(first, "x")), print_plan(list));
  // The other way round, the lists belong to the other ranks.
  EXPECT_THROW(plan_check(parse_plan(placed("1 0"), "x")), Error);
  const std::string swapped = "rank 0: 1RECV_F0 1F0 1L0 1W0 1U\nrank 1: 0F0 0SEND_F0 0L0 0W0 0U\n";
  EXPECT_NO_THROW(plan_check(parse_plan(placed("1 0").substr(0, placed("1 0").find("rank 0")) + swapped, "x")));
}

TEST(PlanText, WeightsReadBackAsTheSameDoubles) {
  PlanRequest request;
  request.shape = {.stages = 3, .ranks = 1, .microbatches = 2};
  request.rule = make_rule({.rule = "matrix",
                            .matrix = {{0.1, 1.0 / 3, 5e-324}, {0, 1.7976931348623157e308, 0.3}, {0, 0, 0}},
                            .frozen = {2}},
                           3);
  request.heads = HeadPolicy::all;
  request.norm_over_model = true;
  const Plan plan = make_plan(request);
  const Plan read = parse_plan(print_plan(plan), "x");
  EXPECT_EQ(read.rule.weights, plan.rule.weights);
  EXPECT_EQ(read.rule.frozen, plan.rule.frozen);
  EXPECT_EQ(read.heads, HeadPolicy::all);
  EXPECT_TRUE(read.norm_over_model);
  EXPECT_EQ(read.ranks, plan.ranks);
}

TEST(PlanText, WrongTextNamesFileLineAndWord) {
  EXPECT_THAT(refusal(""), HasSubstr("the first line"));
  EXPECT_THAT(refusal("interlock plan 2\n"), AllOf(HasSubstr("hand.plan, line 1"), HasSubstr("interlock plan 1")));
  EXPECT_THAT(refusal(replaced(small_text(), "0L0", "0Q0")),
              AllOf(HasSubstr("hand.plan, line 18"), HasSubstr("\"0Q0\"")));
  EXPECT_THAT(refusal(replaced(small_text(), "ranks 2", "rnks 2")),
              AllOf(HasSubstr("line 4"), HasSubstr("did you mean \"ranks\"")));
  EXPECT_THAT(refusal(replaced(small_text(), "ranks 2", "ranks two")), HasSubstr("\"two\" is not a number of ranks"));
  EXPECT_THAT(refusal(replaced(small_text(), "ranks 2", "ranks 2 2")), HasSubstr("not a number of ranks"));
  EXPECT_THAT(refusal(replaced(small_text(), "ranks 2", "ranks")), HasSubstr("has no value"));
  EXPECT_THAT(refusal(replaced(small_text(), "ranks 2\n", "")), HasSubstr("\"ranks\" must come before"));
  EXPECT_THAT(refusal(replaced(small_text(), "ranks 2", "ranks 2\nranks 2")), HasSubstr("given twice"));
  EXPECT_THAT(refusal(replaced(small_text(), "ranks 2", "ranks 3")), HasSubstr("at most 2 ranks"));
  EXPECT_THAT(refusal(replaced(small_text(), "contiguous", "somewhere")),
              HasSubstr("known: contiguous, interleaved, v; or the rank"));
  EXPECT_THAT(refusal(replaced(small_text(), "contiguous", "contigous")),
              AllOf(HasSubstr("line 7"), HasSubstr("did you mean \"contiguous\"?")));
  EXPECT_THAT(refusal(replaced(small_text(), "contiguous", "0 1 x")), HasSubstr("unknown placement \"0 1 x\""));
  EXPECT_THAT(refusal(replaced(small_text(), "contiguous", "0 1-")), HasSubstr("\"1-\" is not a rank"));
  EXPECT_THAT(refusal(replaced(small_text(), "contiguous", "0 99999999999")), HasSubstr("is not a rank"));
  EXPECT_THAT(refusal(replaced(small_text(), "contiguous", "0")), HasSubstr("1 entries for 2 stages"));
  EXPECT_THAT(refusal(replaced(small_text(), "contiguous", "0 2")), HasSubstr("parallel.placement[1] = 2"));
  EXPECT_THAT(refusal(replaced(small_text(), "contiguous", "1 1")), HasSubstr("gives rank 0 no stage"));
  EXPECT_THAT(refusal(replaced(small_text(), "placement contiguous", "placement")), HasSubstr("has no value"));
  EXPECT_THAT(refusal(replaced(small_text(), "evaluation no", "evaluation maybe")), HasSubstr("yes or no"));
  EXPECT_THAT(refusal(replaced(small_text(), "1 0\n0 1", "1 0")), HasSubstr("\"rank\" is not a weight"));
  EXPECT_THAT(refusal(replaced(small_text(), "1 0\n0 1", "1 0 0\n0 1")), HasSubstr("has 3 numbers"));
  EXPECT_THAT(refusal(replaced(small_text(), "1 0\n0 1", "1 0\n1 1")), HasSubstr("upper triangular"));
  EXPECT_THAT(refusal(replaced(small_text(), "1 0\n0 1", "1 nan\n0 1")), HasSubstr("number"));
  EXPECT_THAT(refusal(replaced(small_text(), "rank 1", "rank 0")), HasSubstr("found rank 0"));
  EXPECT_THAT(refusal(replaced(small_text(), "rank 1:", "rank 1")), HasSubstr("colon"));
  EXPECT_THAT(refusal(replaced(small_text(), "rank 1: 1RECV_F0 1F0 1L0 1W0 1U # the end\n", "")),
              HasSubstr("after 1 of its 2 ranks"));
  EXPECT_THAT(refusal(small_text() + "rank 2:\n"), HasSubstr("found rank 2"));
  EXPECT_THAT(refusal(small_text() + "more\n"), HasSubstr("expected \"rank"));
}

TEST(PlanText, HugeNumbersCostNothing) {
  EXPECT_THAT(refusal(replaced(small_text(), "stages 2", "stages 2147483647")), HasSubstr("numbers instead of"));
  EXPECT_THAT(refusal(replaced(small_text(), "stages 2", "stages 99999999999999999999")),
              HasSubstr("not a number of stages"));
  EXPECT_THAT(refusal(replaced(small_text(), "stages 2", "stages -5")), HasSubstr("stages is -5"));
  EXPECT_THAT(refusal(replaced(small_text(), "microbatches 1", "microbatches 2147483647")),
              HasSubstr("parallel.microbatches"));
  EXPECT_THAT(refusal(replaced(small_text(), "replicas 1", "replicas 0")), HasSubstr("parallel.replicas = 0"));
  // A stage, microbatch or stream out of range in a word is a fault of the word or of the plan, never a crash.
  EXPECT_THAT(refusal(replaced(small_text(), "0L0", "7L0")), HasSubstr("there is no stage 7"));
  EXPECT_THROW(plan_check(parse_plan(replaced(small_text(), "0L0", "0L2147483647"), "x")), Error);
}

// Random damage to a good text either still parses (then the check must answer) or is refused; nothing else may happen.
TEST(PlanText, DamagedTextIsReadOrRefused) {
  PlanRequest request;
  request.shape = {.stages = 4, .ranks = 2, .microbatches = 3};
  request.rule = make_rule({.rule = "sum", .horizon = 3}, 4);
  const std::string good = print_plan(make_plan(request));
  const std::string alphabet = "0123456789 \n:@+-#.eFLIWBU_SENDRCVrank\t\xff";
  std::mt19937 random(7);
  int read = 0, refused = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string text = good;
    for (int edits = 1 + static_cast<int>(random() % 3); edits > 0 && !text.empty(); --edits) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          text.erase(at, 1 + random() % 20);
          break;
        case 2:
          text.insert(at, 1, alphabet[random() % alphabet.size()]);
          break;
        default:
          text.resize(at + 1);
          break;
      }
    }
    try {
      const Plan plan = parse_plan(text, "damaged");
      ++read;
      if (const auto fault = find_fault(plan)) {
        EXPECT_FALSE(show_fault(plan, *fault).empty());
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      ++refused;
    }
  }
  EXPECT_GT(read, 50);
  EXPECT_GT(refused, 50);
}

}  // namespace
}  // namespace interlock
