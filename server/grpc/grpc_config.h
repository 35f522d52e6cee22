#pragma once

#include <grpcpp/security/server_credentials.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tessera {

struct GrpcConfig {
  int64_t message_bytes_max = 16 << 20;  // of one request; the HTTP API's body_bytes_max
  std::vector<std::string> api_keys;     // empty: no key is asked for
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
};

}  // namespace tessera
