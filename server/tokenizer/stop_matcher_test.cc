#include "server/tokenizer/stop_matcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "base/status_matchers.h"
#include "server/tokenizer/utf8.h"

namespace tessera {
namespace {

using testing::HasSubstr;

struct Outcome {
  std::string text;
  int stop = -1;
  int64_t offset = -1;
  bool operator==(const Outcome&) const = default;
};
void PrintTo(const Outcome& outcome, std::ostream* out) {
  *out << "\"" << outcome.text << "\" stop " << outcome.stop << " at " << outcome.offset;
}

// What the rule says, read off the whole text.
Outcome Oracle(const std::vector<std::string>& stops, const std::string& text) {
  Outcome best{text, -1, -1};
  for (size_t i = 0; i < stops.size(); ++i) {
    const size_t at = text.find(stops[i]);
    if (at == std::string::npos) continue;
    const auto offset = static_cast<int64_t>(at);
    const bool is_earlier = best.stop < 0 || offset < best.offset;
    const bool ends_earlier = offset == best.offset && stops[i].size() < stops[static_cast<size_t>(best.stop)].size();
    if (is_earlier || ends_earlier) best = {text.substr(0, at), static_cast<int>(i), offset};
  }
  return best;
}

Outcome MatchPieces(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopMatcher matcher(*StopStrings::Create(stops));
  std::string out;
  for (const std::string& piece : pieces) {
    if (matcher.Push(piece, out)) break;
  }
  matcher.Flush(out);
  if (!matcher.match().has_value()) return {out, -1, -1};
  return {out, matcher.match()->stop_index, matcher.match()->offset};
}

struct StopCase {
  std::string name;
  std::vector<std::string> stops;
  std::string text;
};
class StopMatcherTest : public testing::TestWithParam<StopCase> {};

TEST_P(StopMatcherTest, ContentIsExactlyTheTextBeforeTheEarliestMatchWhateverTheCut) {
  const auto& [name, stops, text] = GetParam();
  const Outcome expected = Oracle(stops, text);
  EXPECT_EQ(MatchPieces(stops, {text}), expected);
  std::vector<std::string> bytes;
  for (const char byte : text) bytes.emplace_back(1, byte);
  EXPECT_EQ(MatchPieces(stops, bytes), expected);
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(MatchPieces(stops, {text.substr(0, cut), text.substr(cut)}), expected) << "cut " << cut;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Texts, StopMatcherTest,
    testing::Values(StopCase{"Inside", {"DEFGHIJ"}, "ABCDEFGHIJK"}, StopCase{"NotThere", {"DEFGHIX"}, "ABCDEFGHIJK"},
                    StopCase{"Overlapping", {"aab", "ab"}, "aaab"},
                    StopCase{"OverlappingOtherOrder", {"ab", "aab"}, "aaab"},
                    StopCase{"LongerStartsEarlier", {"bc", "abcd"}, "xabcdy"},
                    StopCase{"LongerStartsEarlierButFails", {"bc", "abcd"}, "xabcx"},
                    StopCase{"LongerStartsEarlierButTextEnds", {"bc", "abcd"}, "xabc"},
                    StopCase{"NestedCandidates", {"bcd", "abcx", "c"}, "zabcd"},
                    StopCase{"SameStart", {"abc", "ab"}, "xabcx"}, StopCase{"MultiByte", {"日本"}, "é日日本x"},
                    StopCase{"Emoji", {"👩‍💻"}, "👩 👩‍💻"}, StopCase{"AtStart", {"x"}, "xyz"},
                    StopCase{"AtEnd", {"yz"}, "xyz"}, StopCase{"SelfOverlapping", {"abab"}, "abaabab"},
                    StopCase{"EmptyText", {"a"}, ""}),
    [](const auto& c) { return c.param.name; });

TEST(StopMatcherTest, AgreesWithTheRuleOnRandomTextsAndCuts) {
  std::mt19937 random(11);
  const auto word = [&](int length_max) {
    std::string text(1 + random() % static_cast<unsigned>(length_max), 'a');
    for (char& c : text) c = static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 5000; ++round) {
    std::vector<std::string> stops;
    for (unsigned i = 0; i < 1 + random() % 4; ++i) stops.push_back("b" + word(5));
    std::vector<std::string> pieces;
    std::string text;
    for (unsigned i = 0; i < 1 + random() % 6; ++i) {
      pieces.push_back(word(4));
      text += pieces.back();
    }
    // Of equal stops the first is reported.
    ASSERT_EQ(MatchPieces(stops, pieces), Oracle(stops, text)) << "round " << round << " text " << text;
  }
}

TEST(StopMatcherTest, HoldsBackOnlyWhatMayBecomeAStop) {
  StopMatcher matcher(*StopStrings::Create({"DEFGHIJ"}));
  std::string out;
  EXPECT_FALSE(matcher.Push("ABCDEF", out));
  EXPECT_EQ(out, "ABC");
  EXPECT_FALSE(matcher.Push("X", out));
  EXPECT_EQ(out, "ABCDEFX");
  EXPECT_FALSE(matcher.Push("DE", out));
  EXPECT_EQ(out, "ABCDEFX");
  EXPECT_FALSE(matcher.Flush(out));
  EXPECT_EQ(out, "ABCDEFXDE") << "text held back and not matched arrives before the end";
}

TEST(StopMatcherTest, ReleasedPiecesAreWholeCharacters) {
  StopMatcher matcher(*StopStrings::Create({"日本"}));
  for (const char* piece : {"é", "日", "日", "é日", "x"}) {
    std::string out;
    matcher.Push(piece, out);
    EXPECT_EQ(ValidUtf8Prefix(out), out.size());
  }
}

TEST(StopMatcherTest, SixteenStopsOfTenKilobytesStayLinear) {
  std::vector<std::string> stops;
  for (int i = 0; i < 16; ++i) stops.push_back(std::string(4000, 'a') + static_cast<char>('b' + i));
  StopMatcher matcher(*StopStrings::Create(stops));
  std::string out;
  const std::string text(2000000, 'a');  // each position is a possible start of every stop
  for (size_t at = 0; at < text.size(); at += 4) EXPECT_FALSE(matcher.Push(text.substr(at, 4), out));
  EXPECT_EQ(out.size(), text.size() - 4000);
  EXPECT_TRUE(matcher.Push("q", out));
  EXPECT_EQ(matcher.match()->stop_index, 'q' - 'b');
  EXPECT_EQ(out.size(), text.size() - 4000);
}

TEST(StopStringsTest, RefusesEmptyTooManyTooLongAndBrokenStops) {
  EXPECT_THAT(StopStrings::Create({"a", ""}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("stop[1]: is empty")));
  EXPECT_THAT(StopStrings::Create({"\xff"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("stop[0]: is not valid UTF-8")));
  EXPECT_THAT(StopStrings::Create(std::vector<std::string>(17, "x")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("got 17 entries, at most 16")));
  EXPECT_THAT(StopStrings::Create(std::vector<std::string>(16, "x")), IsOk());
  EXPECT_THAT(StopStrings::Create({std::string(10000, 'x')}), IsOk());
  EXPECT_THAT(StopStrings::Create({std::string(100000, 'x')}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 65536 bytes")));
}

}  // namespace
}  // namespace tessera
