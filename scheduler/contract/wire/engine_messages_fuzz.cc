// What a server or a scheduler may send the other, as bytes. A message that is read is also written and read again.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "scheduler/contract/wire/engine_proto.h"

namespace {

constexpr int32_t kVocab = 1000;
const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

namespace pb = tessera::internal::v1;
namespace wire = tessera::wire;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (pb::ServerMessage message; message.ParseFromArray(data, static_cast<int>(size)) && message.has_submit()) {
    if (const auto request = wire::FromProto(message.submit(), kVocab, kNow); request.ok()) {
      pb::Request again;
      wire::ToProto(*request, kNow, again);
      TESSERA_CHECK(wire::FromProto(again, kVocab, kNow)->prompt == request->prompt);
    }
  }
  pb::EngineMessage message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
  if (message.has_hello()) (void)wire::FromProto(message.hello().limits());
  if (message.has_status()) (void)wire::FromProto(message.status(), kNow);
  if (message.has_tokens()) {
    if (const auto batch = wire::FromProto(message.tokens(), kVocab, kNow); batch.ok()) {
      pb::TokenBatch again;
      wire::ToProto(*batch, kNow, again);
      TESSERA_CHECK(wire::FromProto(again, kVocab, kNow)->requests.size() == batch->requests.size());
    }
  }
  return 0;
}
