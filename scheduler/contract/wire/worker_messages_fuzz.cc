// Any bytes as a message of the scheduler–worker stream: never a crash, and what is accepted means the same after it
// was written again.

#include <cstdint>
#include <string>

#include "base/check.h"
#include "scheduler/contract/wire/hello_proto.h"
#include "scheduler/contract/wire/status_proto.h"
#include "scheduler/contract/wire/step_plan_proto.h"
#include "scheduler/contract/wire/step_result_proto.h"

namespace {

namespace pb = tessera::internal::v1;
namespace wire = tessera::wire;

constexpr tessera::WorkerLimits kLimits = {.num_ranks = 2,
                                           .num_blocks = 16,
                                           .block_tokens = 4,
                                           .step_tokens_max = 32,
                                           .sequences_max = 8,
                                           .context_tokens_max = 64,
                                           .vocab_size = 100,
                                           .draft_tokens_max = 2};

template <typename Message>
std::string Bytes(const Message& message) {
  std::string bytes;
  TESSERA_CHECK(message.SerializeToString(&bytes));
  return bytes;
}

template <typename Message, typename... Limits>
void CheckJourney(const Message& message, const Limits&... limits) {
  const auto value = wire::FromProto(message, limits...);
  if (!value.ok()) {
    TESSERA_CHECK(!value.status().message().empty());
    return;
  }
  Message written;
  wire::ToProto(*value, written);
  const auto again = wire::FromProto(written, limits...);
  TESSERA_CHECK_OK(again.status());
  Message rewritten;
  wire::ToProto(*again, rewritten);
  TESSERA_CHECK(Bytes(rewritten) == Bytes(written));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  pb::SchedulerMessage down;
  if (down.ParseFromString(bytes)) {
    if (down.has_plan()) CheckJourney(down.plan(), kLimits);
    if (down.has_hello()) CheckJourney(down.hello());
  }
  pb::WorkerMessage up;
  if (up.ParseFromString(bytes)) {
    if (up.has_result()) CheckJourney(up.result(), kLimits);
    if (up.has_hello()) CheckJourney(up.hello());
    if (up.has_failed()) static_cast<void>(wire::FromProto(up.failed().status()));
  }
  return 0;
}
