#include "worker/exchange/rank_links.h"

#include "absl/strings/str_format.h"

namespace tessera {

std::string Describe(const CallPosition& position) {
  return absl::StrFormat("step %d, call %d (%s)", position.step, position.call,
                         position.kind == CallKind::kDispatch ? "dispatch" : "combine");
}

}  // namespace tessera
