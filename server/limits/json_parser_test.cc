#include "server/limits/json_parser.h"

#include <string>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

using testing::HasSubstr;

std::string Repeat(std::string_view text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i) result += text;
  return result;
}

TEST(JsonParserTest, ParsesEveryKindOfValue) {
  const std::string text = R"({"a":[1,-2,3.5,true,false,null,"x\u00e9"],"b":{"c":{}}})";
  const auto json = ParseJson(text);
  ASSERT_THAT(json, IsOk());
  EXPECT_EQ(json->dump(), R"({"a":[1,-2,3.5,true,false,null,"xé"],"b":{"c":{}}})");
}

TEST(JsonParserTest, KeepsTheOrderOfMembersAndTheLastOfEqualOnes) {
  EXPECT_EQ(ParseJson(R"({"z":1,"a":2,"z":3})")->dump(), R"({"a":2,"z":3})");
}

TEST(JsonParserTest, RefusesRepeatedNamesWhereThatIsAsked) {
  EXPECT_THAT(ParseJson(R"({"a":{"x":1,"x":2}})", {.refuses_repeated_names = true}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("key \"x\" appears twice")));
  EXPECT_THAT(ParseJson(R"({"a":{"x":1},"b":{"x":2}})", {.refuses_repeated_names = true}), IsOk());
}

TEST(JsonParserTest, RefusesDeepNestingWithoutRecursion) {
  for (const int depth : {65, 1000, 10'000, 1'000'000}) {
    for (const std::string& text :
         {Repeat("[", depth), Repeat("[", depth) + Repeat("]", depth), Repeat("{\"a\":", depth),
          "{\"x\":" + Repeat("[", depth) + Repeat("]", depth) + "}"}) {
      EXPECT_THAT(ParseJson(text),
                  StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nested deeper than 64 levels")));
    }
  }
  EXPECT_THAT(ParseJson(Repeat("[", 64) + Repeat("]", 64)), IsOk());
}

TEST(JsonParserTest, BoundsTheNumberOfValues) {
  EXPECT_THAT(ParseJson("[" + Repeat("0,", 99) + "0]", {.values_max = 101}), IsOk());
  EXPECT_THAT(ParseJson("[" + Repeat("0,", 100) + "0]", {.values_max = 101}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 101 JSON values")));
}

TEST(JsonParserTest, SaysWhereTheTextIsNotJson) {
  EXPECT_THAT(ParseJson(R"({"a": tru})"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at byte 10")));
  for (const char* text :
       {"", " ", "{", "[1,]", "{\"a\"}", "\"\xff\"", "nan", "1 2", "{\"a\":1}}", "\"\\ud800\"", "[1e999]"}) {
    EXPECT_THAT(ParseJson(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not JSON at byte "))) << text;
  }
}

TEST(JsonParserTest, TakesManyMembersInLinearTime) {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += "\"k" + std::to_string(i) + "\":0,";
  text.back() = '}';
  EXPECT_EQ(ParseJson(text)->size(), 200'000U);
}

}  // namespace
}  // namespace tessera
