// Actions as words.

#include "parallel/plan/action.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/core/error.h"

namespace interlock {
namespace {

using testing::HasSubstr;

// Stage 2 gets streams {3} and {4}, and sends {2} and {3}.
Flows flows() { return derive_flows(make_rule({.rule = "sum", .horizon = 3}, 5), HeadPolicy::needed); }

std::string refusal(std::string_view word) {
  try {
    parse_action(word, flows());
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    return error.what();
  }
  return "not refused";
}

TEST(Action, WordsAreWhatTheyMean) {
  EXPECT_EQ(text_of({Kind::forward, 2, 3, -1}, flows()), "2F3");
  EXPECT_EQ(text_of({Kind::loss, 2, 3, -1}, flows()), "2L3");
  EXPECT_EQ(text_of({Kind::weight_gradient, 2, 3, -1}, flows()), "2W3");
  EXPECT_EQ(text_of({Kind::input_gradient, 2, 3, 1}, flows()), "2I3@3");
  EXPECT_EQ(text_of({Kind::backward, 1, 0, 0}, flows()), "1B0@1+2");
  EXPECT_EQ(text_of({Kind::send_forward, 2, 3, -1}, flows()), "2SEND_F3");
  EXPECT_EQ(text_of({Kind::receive_forward, 2, 3, -1}, flows()), "2RECV_F3");
  EXPECT_EQ(text_of({Kind::send_backward, 1, 13, 0}, flows()), "1SEND_B13@1+2");
  EXPECT_EQ(text_of({Kind::receive_backward, 2, 3, 1}, flows()), "2RECV_B3@4");
  EXPECT_EQ(text_of({Kind::reduce_gradient, 2, -1, -1}, flows()), "2REDUCE_GRAD");
  EXPECT_EQ(text_of({Kind::reduce_tied, 2, -1, -1}, flows()), "2REDUCE_TIED");
  EXPECT_EQ(text_of({Kind::reduce_norm, 2, -1, -1}, flows()), "2REDUCE_NORM");
  EXPECT_EQ(text_of({Kind::update, 2, -1, -1}, flows()), "2U");
}

TEST(Action, EveryWordReadsBack) {
  const Flows known = flows();
  for (int kind = 0; kind < num_kinds; ++kind) {
    for (int stage = 0; stage < 5; ++stage) {
      const Kind k = static_cast<Kind>(kind);
      const bool step = is_closing(k);
      int streams = 0;
      if (k == Kind::receive_backward) streams = static_cast<int>(known.stages[stage].incoming.size());
      if (k == Kind::input_gradient || k == Kind::backward || k == Kind::send_backward) {
        streams = static_cast<int>(known.stages[stage].outgoing.size());
      }
      for (int stream = streams ? 0 : -1; stream < streams; ++stream) {
        const Action action{k, stage, step ? -1 : 1234567, stream};
        const bool needs_stream =
            k == Kind::receive_backward || k == Kind::input_gradient || k == Kind::backward || k == Kind::send_backward;
        if (needs_stream && stream < 0) continue;  // no stream crosses there
        EXPECT_EQ(parse_action(text_of(action, known), known), action) << text_of(action, known);
      }
    }
  }
}

TEST(Action, WrongWordsSayWhatIsWrong) {
  EXPECT_THAT(refusal(""), HasSubstr("expected a stage number"));
  EXPECT_THAT(refusal("F3"), HasSubstr("expected a stage number"));
  EXPECT_THAT(refusal("5F3"), HasSubstr("there is no stage 5, the stages are 0 to 4"));
  EXPECT_THAT(refusal("-1F3"), HasSubstr("expected a stage number"));
  EXPECT_THAT(refusal("99999999999F3"), HasSubstr("too large"));
  EXPECT_THAT(refusal("2F99999999999"), HasSubstr("too large"));
  EXPECT_THAT(refusal("2X3"), HasSubstr("unknown kind \"X\""));
  EXPECT_THAT(refusal("2SEND_G3"), HasSubstr("SEND_F"));
  EXPECT_THAT(refusal("2f3"), HasSubstr("unknown kind"));
  EXPECT_THAT(refusal("2F"), HasSubstr("expected a microbatch number"));
  EXPECT_THAT(refusal("2F3@3"), HasSubstr("takes nothing more"));
  EXPECT_THAT(refusal("2U3"), HasSubstr("of the whole step"));
  EXPECT_THAT(refusal("2I3"), HasSubstr("needs the losses of its stream"));
  EXPECT_THAT(refusal("2I3@"), HasSubstr("expected a loss number"));
  EXPECT_THAT(refusal("2I3@3+"), HasSubstr("expected a loss number"));
  EXPECT_THAT(refusal("2I3@3x"), HasSubstr("follows the losses"));
  EXPECT_THAT(refusal("2I3@2+3"), HasSubstr("no such stream leaves stage 2; there is @2, @3"));
  EXPECT_THAT(refusal("2RECV_B3@2"), HasSubstr("no such stream comes back to stage 2; there is @3, @4"));
  EXPECT_THAT(refusal("0SEND_B3@1"), HasSubstr("none does"));
  EXPECT_THAT(refusal(std::string(1000, '7')), HasSubstr("too large"));
}

}  // namespace
}  // namespace interlock
