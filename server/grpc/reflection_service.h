#pragma once

#include <string>
#include <vector>

#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "server/limits/api_keys.h"

namespace tessera {

// The standard reflection protocol over the services that the server has. gRPC's own plugin cannot ask for a key.
class ReflectionService final : public grpc::reflection::v1alpha::ServerReflection::CallbackService {
 public:
  using Request = grpc::reflection::v1alpha::ServerReflectionRequest;
  using Response = grpc::reflection::v1alpha::ServerReflectionResponse;

  ReflectionService(std::vector<std::string> services, const ApiKeys& keys)
      : services_(std::move(services)), keys_(keys) {}

  grpc::ServerBidiReactor<Request, Response>* ServerReflectionInfo(grpc::CallbackServerContext* context) override;

  Response Answer(const Request& request) const;

 private:
  const std::vector<std::string> services_;
  const ApiKeys keys_;
};

}  // namespace tessera
