#pragma once

// GoogleTest matchers: EXPECT_THAT(status, IsOk()); EXPECT_THAT(value_or, StatusIs(code, HasSubstr("…"))).

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"

namespace tessera {

inline const absl::Status& ToStatus(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& ToStatus(const absl::StatusOr<T>& value) {
  return value.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << ToStatus(arg).ToString();
  return ToStatus(arg).ok();
}

MATCHER_P2(StatusIs, code, message_matcher, "") {
  *result_listener << ToStatus(arg).ToString();
  return ToStatus(arg).code() == code && testing::Matches(message_matcher)(std::string(ToStatus(arg).message()));
}

}  // namespace tessera
