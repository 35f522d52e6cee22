#pragma once

#include "server/limits/api_keys.h"
#include "server/metrics/access_log.h"
#include "server/session/generation_service.h"
#include "server/session/work_pool.h"
#include "tessera/v1/serve.grpc.pb.h"

namespace tessera {

// The public API over gRPC. No policy here: what a request may ask is the generation service's to say.
class TesseraService final : public v1::Tessera::CallbackService {
 public:
  // `service`, `work` and `access_log` must outlive it.
  TesseraService(GenerationService& service, WorkPool& work, const AccessLog& access_log, const ApiKeys& keys)
      : service_(service), work_(work), access_log_(access_log), keys_(keys) {}

  grpc::ServerWriteReactor<v1::GenerateEvent>* Generate(grpc::CallbackServerContext* context,
                                                        const v1::GenerateRequest* request) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context, const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context, const v1::DetokenizeRequest* request,
                                       v1::DetokenizeResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context, const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;

 private:
  // Runs `job` on the work pool and finishes the call with what it returns.
  grpc::ServerUnaryReactor* RunUnary(grpc::CallbackServerContext* context, const char* method,
                                     std::function<absl::Status()> job);
  std::shared_ptr<AccessRecord> BeginRecord(const grpc::CallbackServerContext& context, const char* method) const;
  absl::Time DeadlineOf(const grpc::CallbackServerContext& context) const;

  GenerationService& service_;
  WorkPool& work_;
  const AccessLog& access_log_;
  const ApiKeys keys_;
  std::atomic<uint64_t> next_call_ = 0;
};

}  // namespace tessera
