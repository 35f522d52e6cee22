#pragma once

#include <algorithm>
#include <vector>

#include "worker/testing/plan_driver.h"

namespace tessera {

inline bool SameLogprobs(const std::vector<PositionLogprobs>& a, const std::vector<PositionLogprobs>& b) {
  const auto same = [](const TokenLogprob& x, const TokenLogprob& y) {
    return x.token == y.token && x.logprob == y.logprob;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](const PositionLogprobs& x, const PositionLogprobs& y) {
    return same(x.token, y.token) && std::equal(x.top.begin(), x.top.end(), y.top.begin(), y.top.end(), same);
  });
}

// Whether a client would see any difference.
inline bool SameOutput(const PlanDriver::Output& a, const PlanDriver::Output& b) {
  return a.tokens == b.tokens && SameLogprobs(a.logprobs, b.logprobs) &&
         SameLogprobs(a.prompt_logprobs, b.prompt_logprobs) && a.finish == b.finish && a.status == b.status;
}

}  // namespace tessera
