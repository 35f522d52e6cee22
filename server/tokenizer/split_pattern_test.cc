#include "server/tokenizer/split_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/status_matchers.h"

namespace tessera {
namespace {

using testing::HasSubstr;

TEST(SplitPatternTest, ReadsThePatternsOfBothGenerations) {
  for (
      const char* regex :
      {R"(\p{N}{1,3})", "[一-龥぀-ゟ゠-ヿ]+",
       R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       "[\r\n]", R"(\s?[A-Za-zµÀ-Ö]+)", R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)", R"(\s+$)", "[一-龥ࠀ-一가-퟿]+"}) {
    EXPECT_THAT(TranslateSplitPattern(regex), IsOk());
  }
}

TEST(SplitPatternTest, TheEndOfThePieceIsNotLeftToTheRegexEngine) {
  const auto pattern = TranslateSplitPattern(R"(a+$)");
  ASSERT_THAT(pattern, IsOk());
  EXPECT_TRUE(pattern->only_at_end);
  EXPECT_EQ(pattern->pcre2, R"([\x{61}]+)");
}

TEST(SplitPatternTest, WhiteSpaceIsUnicodeWhiteSpaceWithoutU180E) {
  const auto pattern = TranslateSplitPattern(R"(\s)");
  ASSERT_THAT(pattern, IsOk());
  EXPECT_THAT(pattern->pcre2, HasSubstr(R"(\x{3000})"));
  EXPECT_THAT(pattern->pcre2, testing::Not(HasSubstr("180e")));
}

TEST(SplitPatternTest, AnUnsupportedConstructIsNamedWithItsPlace) {
  for (const char* regex : {"a.b",    "(ab)", "(?:a)+", "(?=a)",       "a(?!bc)", "\\d",   "\\w+",    "\\p{Lu}",
                            "\\P{L}", "^a",   "a*?b",   "a++",         "a{2}{3}", "a{",    "a{3,1}",  "a{99999}",
                            "a{,3}",  "[a",   "[]",     "[[:alpha:]]", "[a&&b]",  "[z-a]", "[\\s-a]", "[a-\\]]",
                            "a\\",    "\\1",  "\\x41",  "(?!a)b",      "a$b",     "x]",    "}"}) {
    EXPECT_THAT(TranslateSplitPattern(regex), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("regex ")))
        << regex;
  }
  EXPECT_THAT(TranslateSplitPattern("ab(c)"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at byte 2")));
}

TEST(SplitPatternTest, APatternThatMayMatchNothingIsRefused) {
  for (const char* regex : {"a*", "a?b*", "a|", "|a", "a||b", "$", "(?!a)"}) {
    EXPECT_THAT(TranslateSplitPattern(regex), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("match nothing")))
        << regex;
  }
}

TEST(SplitPatternTest, APatternThatMayTakeQuadraticTimeIsRefused) {
  for (const char* regex :
       {"a+b", "a*b+", "a+(?!b)", "a+b|a", R"(\s*[\r\n]+|\s+(?!\S)|x|\s+)", "x?a+b|a+", R"(a+b|\s+)"}) {
    EXPECT_THAT(TranslateSplitPattern(regex), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("linear time")))
        << regex;
  }
  EXPECT_THAT(TranslateSplitPattern("b|a+c|a+"), IsOk());
}

TEST(SplitPatternTest, SizesAndEncodingAreBounded) {
  EXPECT_THAT(TranslateSplitPattern(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("empty")));
  EXPECT_THAT(TranslateSplitPattern("\xff"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("UTF-8")));
  EXPECT_THAT(TranslateSplitPattern(std::string(100000, 'a')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most")));
}

}  // namespace
}  // namespace tessera
