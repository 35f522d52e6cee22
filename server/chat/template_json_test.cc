#include "server/chat/template_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/status_matchers.h"

namespace tessera {
namespace {

using testing::HasSubstr;

TEST(TemplateJsonTest, WritesAsPythonDoesAndKeepsTheOrderOfKeys) {
  EXPECT_EQ(*FormatTemplateJson(R"({"z":1,"a":[1,2.50,-3,true,null,"x"],"e":{},"f":[]})"),
            R"({"z": 1, "a": [1, 2.50, -3, true, null, "x"], "e": {}, "f": []})");
  EXPECT_EQ(*FormatTemplateJson(R"({"s":"\u00e9\ud83d\ude00\"\\\/\n\r\t\b\f\u0001"})"),
            R"({"s": "é😀\"\\/\n\r\t\b\f\u0001"})");
  EXPECT_EQ(*FormatTemplateJson(" [ { \"a\" : [ [ ] , 1 ] } , 2 ] "), R"([{"a": [[], 1]}, 2])");
  EXPECT_EQ(*FormatTemplateJson("5"), "5");
}

TEST(TemplateJsonTest, RefusesBrokenAndDeepText) {
  EXPECT_THAT(FormatTemplateJson("{"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not JSON")));
  EXPECT_THAT(FormatTemplateJson(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not JSON")));
  for (const size_t depth : {129u, 10000u, 1000000u}) {
    EXPECT_THAT(FormatTemplateJson(std::string(depth, '[')),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nested deeper than 128")));
  }
}

}  // namespace
}  // namespace tessera
