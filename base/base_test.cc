#include "base/check.h"
#include "base/clock.h"
#include "base/fake_clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/status_matchers.h"
#include "base/string_map.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

using testing::HasSubstr;

absl::StatusOr<int> Half(int n) {
  if (n % 2 != 0) return absl::InvalidArgumentError("odd");
  return n / 2;
}

absl::StatusOr<int> Quarter(int n) {
  TESSERA_ASSIGN_OR_RETURN(const int half, Half(n));
  TESSERA_ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}

TEST(StatusMacrosTest, HandTheFirstErrorOn) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_THAT(Quarter(6), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("odd")));
}

TEST(CheckDeathTest, AbortsWithTheCondition) {
  EXPECT_DEATH(TESSERA_CHECK(1 + 1 == 3), "check failed: 1 \\+ 1 == 3");
  EXPECT_DEATH(TESSERA_CHECK_OK(absl::InternalError("lost")), "lost");
}

TEST(StringMapTest, IsSearchedByView) {
  StringMap<int> map{{"one", 1}};
  EXPECT_EQ(map.find(std::string_view("one"))->second, 1);
  EXPECT_EQ(map.find(std::string_view("two")), map.end());
}

TEST(ClockTest, FakeClockMovesOnlyWhenTold) {
  FakeClock clock;
  const absl::Time start = clock.Now();
  EXPECT_EQ(clock.Now(), start);
  clock.Advance(absl::Milliseconds(5));
  EXPECT_EQ(clock.Now() - start, absl::Milliseconds(5));
}

TEST(ClockTest, RealClockDoesNotGoBack) {
  RealClock clock;
  const absl::Time first = clock.Now();
  EXPECT_GE(clock.Now(), first);
}

TEST(LogTest, RefusesUnknownLevelAndFormat) {
  EXPECT_THAT(SetUpLog("loud", "text"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("loud")));
  EXPECT_THAT(SetUpLog("info", "xml"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("xml")));
  EXPECT_THAT(SetUpLog("info", "json"), IsOk());
}

}  // namespace
}  // namespace tessera
