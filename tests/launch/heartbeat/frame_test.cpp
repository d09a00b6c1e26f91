// Frames byte by byte, against published codes and against everything that a hostile peer can do to them.
#include "launch/heartbeat/frame.h"

#include <gmock/gmock.h>

#include "launch/heartbeat/beat.h"
#include "tests/launch/monitor/pulses.h"

namespace interlock::test {
namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const unsigned char byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

// RFC 4231, cases 1, 2 and 4; keys shorter than 32 bytes are filled up with zeros, which HMAC does as well.
TEST(Secret, CodesAreThoseOfThePublishedCases) {
  Secret one{}, two{}, four{};
  std::fill_n(one.begin(), 20, uint8_t{0x0b});
  std::copy_n("Jefe", 4, two.begin());
  for (size_t i = 0; i < 25; ++i) four[i] = static_cast<uint8_t>(i + 1);
  EXPECT_EQ(hex(text_of(authentication_code(one, "Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hex(text_of(authentication_code(two, "what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex(text_of(authentication_code(four, std::string(50, '\xcd')))),
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
}

TEST(Secret, NoTwoAreAlike) { EXPECT_NE(random_bytes(), random_bytes()); }

TEST(Frame, AnyWayOfCuttingTheBytesGivesTheSameFrames) {
  const Secret key = random_bytes();
  FrameWriter writer(key);
  std::string bytes = writer.seal(FrameKind::beat, "");
  bytes += writer.seal(FrameKind::dump, std::string(largest_payload, 'x'));
  EXPECT_EQ(bytes.size(), frame_overhead + largest_frame);
  for (const size_t step : {size_t{1}, size_t{44}, size_t{45}, size_t{46}, bytes.size()}) {
    FrameReader reader(key);
    std::vector<Frame> found;
    for (size_t at = 0; at < bytes.size(); at += step) {
      reader.feed(std::string_view(bytes).substr(at, step));
      while (auto frame = reader.next()) found.push_back(*frame);
    }
    ASSERT_EQ(found.size(), 2u) << step;
    EXPECT_EQ(found[0].kind, FrameKind::beat);
    EXPECT_EQ(found[1].payload.size(), largest_payload);
    EXPECT_EQ(reader.held(), 0u);
  }
}

TEST(Frame, ATooLongPayloadIsOurOwnMistake) {
  FrameWriter writer(random_bytes());
  EXPECT_THROW(writer.seal(FrameKind::beat, std::string(largest_payload + 1, 'x')), std::logic_error);
}

TEST(Frame, EveryFlippedBitIsSeen) {
  const Secret key = random_bytes();
  const std::string bytes = FrameWriter(key).seal(FrameKind::beat, "what ranks do");
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ 1 << bit % 8);
    FrameReader reader(key);
    reader.feed(changed);
    // A length that has grown asks for bytes that do not come; everything else is refused.
    try {
      EXPECT_FALSE(reader.next()) << bit;
      EXPECT_LT(bit, 32u);
    } catch (const ProtocolError&) {
    }
  }
}

TEST(Frame, LengthsOutOfBoundsAreRefusedBeforeAnythingIsKept) {
  for (const char* length : {"\xff\xff\xff\xff", "\x80\x00\x00\x00", "\x00\x01\x00\x00", "\x00\x00\x00\x28"}) {
    FrameReader reader(random_bytes());
    reader.feed({length, 4});
    EXPECT_THROW(reader.next(), ProtocolError) << hex({length, 4});
  }
}

TEST(Frame, ReplayedLeftOutAndSwappedFramesAreRefused) {
  const Secret key = random_bytes();
  FrameWriter writer(key);
  const std::string first = writer.seal(FrameKind::beat, "1"), second = writer.seal(FrameKind::beat, "2");
  FrameReader replayed(key), swapped(key);
  replayed.feed(first + first);
  EXPECT_TRUE(replayed.next());
  EXPECT_THROW(replayed.next(), ProtocolError);
  swapped.feed(second);
  EXPECT_THROW(swapped.next(), ProtocolError);
}

TEST(Beat, RecordsComeBackAndRubbishDoesNot) {
  std::vector<PulseRecord> ranks;
  for (int rank = 0; rank < 300; ++rank) {
    ranks.push_back(pulse_of(rank, 7, "2F" + std::to_string(rank)));
    ranks.back().actions = 1000;
    std::strcpy(ranks.back().last[999 % PulseRecord::remembered].text, "4B1");
  }
  std::vector<PulseRecord> found;
  const std::vector<std::string> beats = beats_of(ranks);
  EXPECT_GT(beats.size(), 1u);
  for (const std::string& beat : beats) {
    EXPECT_LE(beat.size(), largest_payload);
    for (const PulseRecord& record : records_of_beat(beat, 300)) found.push_back(record);
  }
  ASSERT_EQ(found.size(), ranks.size());
  EXPECT_EQ(found[299].rank, 299);
  EXPECT_EQ(found[299].action(), "4B1");
  EXPECT_EQ(found[299].median_step(), 1.0);
  EXPECT_THROW(records_of_beat(beats[0], 10), ProtocolError) << "a rank that the run has not";
  EXPECT_THROW(records_of_beat(beats[0].substr(1), 300), ProtocolError);
  EXPECT_THROW(records_of_beat("", 300), ProtocolError);
  EXPECT_THROW(records_of_beat(std::string(beats[0].size(), '\xff'), 300), ProtocolError);
  const PulseRecord whole = record_of_dump(dump_of(ranks[5]), 300);
  EXPECT_EQ(whole.last_actions(1).size(), 1u);
  EXPECT_EQ(std::string(whole.last[0].text), "2F5");
  EXPECT_THROW(record_of_dump(dump_of(ranks[5]).substr(8), 300), ProtocolError);
}

}  // namespace
}  // namespace interlock::test
