#include "server/tokenizer/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/status_matchers.h"

namespace tessera {
namespace {

using testing::HasSubstr;

TEST(ParseJsonLimitedTest, ReadsEveryKindOfValue) {
  const auto json = ParseJsonLimited(R"({"a":[1,-2,2.5,true,false,null,"x"],"b":{"c":{}}})", 8);
  ASSERT_THAT(json, IsOk());
  EXPECT_EQ(json->dump(), R"({"a":[1,-2,2.5,true,false,null,"x"],"b":{"c":{}}})");
}

TEST(ParseJsonLimitedTest, DeepNestingIsAnErrorNotAStackOverflow) {
  for (const size_t depth : {33u, 1000u, 10000u, 1000000u}) {
    EXPECT_THAT(ParseJsonLimited(std::string(depth, '['), 32),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nested deeper than 32")));
    std::string objects;
    for (size_t i = 0; i < depth; ++i) objects += "{\"a\":";
    EXPECT_THAT(ParseJsonLimited(objects, 32),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nested deeper than 32")));
  }
  EXPECT_THAT(ParseJsonLimited(std::string(32, '[') + std::string(32, ']'), 32), IsOk());
}

TEST(ParseJsonLimitedTest, AKeyThatAppearsTwiceIsRefused) {
  EXPECT_THAT(ParseJsonLimited(R"({"a":{"x":1,"x":2}})", 8),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("key \"x\" appears twice")));
}

TEST(ParseJsonLimitedTest, BrokenTextIsRefusedWithItsPosition) {
  for (const char* text : {"", "{", "[1,]", "{\"a\":}", "nul", "\"\xff\"", "\"\\ud800\"", "1 2", "{\"a\":1}}"}) {
    EXPECT_THAT(ParseJsonLimited(text, 8), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not JSON (byte")))
        << text;
  }
}

TEST(ReadFileLimitedTest, MissingFolderAndTooLargeAreToldApart) {
  EXPECT_THAT(ReadFileLimited("/nonexistent/file", 10),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no such file")));
  EXPECT_THAT(ReadFileLimited("server/tokenizer", 10),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a readable file")));
  EXPECT_THAT(ReadFileLimited("server/tokenizer/CMakeLists.txt", 10),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 10 are accepted")));
}

}  // namespace
}  // namespace tessera
