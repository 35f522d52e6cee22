#include "scheduler/contract/finish_reason.h"

#include "base/check.h"

namespace tessera {

std::string_view ToString(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kDeadline:
      return "deadline";
    case FinishReason::kError:
      return "error";
  }
  TESSERA_CHECK(false);
}

}  // namespace tessera
