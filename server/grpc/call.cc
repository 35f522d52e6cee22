#include "server/grpc/call.h"

#include <string_view>

namespace tessera {

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

absl::Status CheckKey(const grpc::CallbackServerContext& context, const ApiKeys& keys) {
  std::string_view authorization;
  const auto& metadata = context.client_metadata();
  if (metadata.count("authorization") == 1) {
    const grpc::string_ref value = metadata.find("authorization")->second;
    authorization = {value.data(), value.size()};
  }
  if (keys.Admits(authorization)) return absl::OkStatus();
  return absl::UnauthenticatedError("wanted a valid 'authorization: Bearer KEY' in the metadata");
}

}  // namespace tessera
