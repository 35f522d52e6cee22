#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/session/generate_event.h"
#include "server/session/generate_request.h"
#include "server/tokenizer/tokenizer.h"
#include "tessera/v1/serve.pb.h"

namespace tessera {

// Translates and refuses what has no meaning; ranges are the service's to check. Tool schemas are parsed with the
// limits of the HTTP API.
absl::StatusOr<GenerateRequest> FromProto(const v1::GenerateRequest& in);
absl::StatusOr<Prompt> FromProto(const v1::TokenizeRequest& in);

v1::GenerateEvent ToProto(const StartedEvent& event, const std::string& request_id, bool with_ids);
v1::GenerateEvent ToProto(const ChoiceDelta& delta, const Tokenizer& tokenizer);
v1::GenerateEvent ToProto(const Usage& usage);

}  // namespace tessera
