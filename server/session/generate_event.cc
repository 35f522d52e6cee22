#include "server/session/generate_event.h"

#include "base/check.h"

namespace tessera {

std::string_view ToString(ChoiceFinish finish) {
  switch (finish) {
    case ChoiceFinish::kStop:
      return "stop";
    case ChoiceFinish::kLength:
      return "length";
    case ChoiceFinish::kToolCalls:
      return "tool_calls";
  }
  TESSERA_CHECK(false);
}

}  // namespace tessera
