#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "grpcpp/server_context.h"
#include "server/limits/api_keys.h"

namespace tessera {

// Codes are the same on both sides.
grpc::Status ToGrpc(const absl::Status& status);

// Whether the call's metadata has a key that the server knows.
absl::Status CheckKey(const grpc::CallbackServerContext& context, const ApiKeys& keys);

}  // namespace tessera
