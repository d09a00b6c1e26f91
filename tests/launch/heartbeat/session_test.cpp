// Both ends of a connection without a socket: who gets in, and who does not.
#include "launch/heartbeat/session.h"

#include <gmock/gmock.h>

namespace interlock {
namespace {

using Role = Session::Role;

class Handshake : public testing::Test {
 protected:
  const Secret secret = random_bytes();
  Session head{Role::head, secret}, node{Role::node, secret, "alpha"};
};

TEST_F(Handshake, BothProveThatTheyKnowTheSecret) {
  EXPECT_TRUE(node.take(head.output()).empty());
  EXPECT_FALSE(node.joined());
  EXPECT_TRUE(head.take(node.output()).empty());
  EXPECT_TRUE(head.joined());
  EXPECT_EQ(head.host(), "alpha");
  EXPECT_TRUE(node.take(head.output()).empty());
  EXPECT_TRUE(node.joined());

  node.say(FrameKind::beat, "one");
  node.say(FrameKind::dump, "two");
  const auto told = head.take(node.output());
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[1].payload, "two");
  head.say(FrameKind::stop, "");
  EXPECT_EQ(node.take(head.output()).at(0).kind, FrameKind::stop);
  EXPECT_EQ(node.output(), "") << "what was sent is not sent again";
}

TEST_F(Handshake, ABeatMayComeTogetherWithWhatWasAskedForBefore) {
  node.take(head.output());
  head.take(node.output());
  node.take(head.output());
  node.say(FrameKind::beat, "x");
  head.say(FrameKind::dump, "");
  EXPECT_EQ(head.take(node.output()).size(), 1u);
  EXPECT_EQ(node.take(head.output()).size(), 1u);
}

TEST_F(Handshake, WithAnotherSecretNobodyGetsIn) {
  Session stranger(Role::node, random_bytes(), "beta"), impostor(Role::head, random_bytes());
  EXPECT_THROW(stranger.take(head.output()), ProtocolError);
  EXPECT_THROW(node.take(impostor.output()), ProtocolError);
  EXPECT_FALSE(node.joined());
}

TEST_F(Handshake, WhatAnotherConnectionHasSaidIsNoProof) {
  Session other(Role::head, secret);  // the same run, another connection
  node.take(other.output());
  const std::string recorded = node.output();
  EXPECT_TRUE(head.take("").empty());
  EXPECT_THROW(head.take(recorded), ProtocolError);
  EXPECT_FALSE(head.joined());
}

TEST_F(Handshake, NothingIsSentBackToWhereItCameFrom) {
  const std::string hello = head.output();
  EXPECT_THROW(head.take(hello), ProtocolError);
  EXPECT_FALSE(head.joined());
}

TEST_F(Handshake, NobodyTellsBeforeJoiningNorOutOfTurn) {
  Session early(Role::node, secret, "beta");
  early.say(FrameKind::beat, "x");
  EXPECT_THROW(head.take(early.output()), ProtocolError);

  Session another(Role::head, secret);
  node.take(another.output());
  another.take(node.output());
  node.take(another.output());
  node.say(FrameKind::stop, "");  // only the head ends anything
  EXPECT_THROW(another.take(node.output()), ProtocolError);
}

TEST_F(Handshake, ABeatOfAnEarlierConnectionIsRefused) {
  node.take(head.output());
  head.take(node.output());
  node.take(head.output());
  node.say(FrameKind::beat, "x");
  const std::string recorded = node.output();
  EXPECT_EQ(head.take(recorded).size(), 1u);
  EXPECT_THROW(head.take(recorded), ProtocolError) << "again on the same connection";
  Session next(Role::head, secret), again(Role::node, secret, "alpha");
  again.take(next.output());
  next.take(again.output());
  EXPECT_THROW(next.take(recorded), ProtocolError) << "on the next one";
}

TEST_F(Handshake, AHostsNameCanBePrinted) {
  Session odd(Role::node, secret, "a\x1b[2Jb c" + std::string(500, 'x'));
  odd.take(head.output());
  head.take(odd.output());
  EXPECT_THAT(head.host(), testing::StartsWith("a?[2Jb?c"));
  EXPECT_LE(head.host().size(), 255u);
}

}  // namespace
}  // namespace interlock
