#include "server/grpc/tessera_service.h"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "server/grpc/call.h"
#include "server/grpc/event_stream.h"
#include "server/grpc/from_proto.h"
#include "server/session/request_builder.h"

namespace tessera {
namespace {

absl::Status Busy() { return absl::ResourceExhaustedError("too many requests wait to be read; try again later"); }

}  // namespace

std::shared_ptr<AccessRecord> TesseraService::BeginRecord(const grpc::CallbackServerContext& context,
                                                          const char* method) const {
  std::shared_ptr<AccessRecord> access = access_log_.Begin();
  access->client = context.peer();
  access->method = "gRPC";
  access->route = absl::StrFormat("/%s/%s", v1::Tessera::service_full_name(), method);
  return access;
}

absl::Time TesseraService::DeadlineOf(const grpc::CallbackServerContext& context) const {
  const std::chrono::system_clock::time_point deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  // What is left of it, on the service's own clock.
  return service_.clock().Now() + (absl::FromChrono(deadline) - absl::Now());
}

grpc::ServerWriteReactor<v1::GenerateEvent>* TesseraService::Generate(grpc::CallbackServerContext* context,
                                                                      const v1::GenerateRequest* request) {
  const std::shared_ptr<AccessRecord> access = BeginRecord(*context, "Generate");
  const std::shared_ptr<EventStream> stream = EventStream::Make(context, service_.tokenizer(), access);
  if (absl::Status status = CheckKey(*context, keys_); !status.ok()) {
    stream->Refuse(status);
    return stream.get();
  }
  const absl::Time deadline = DeadlineOf(*context);
  const bool runs = work_.TryRun([this, stream, access, request, deadline] {  // gRPC keeps the request until OnDone
    absl::StatusOr<GenerateRequest> parsed = FromProto(*request);
    if (!parsed.ok()) return stream->Refuse(parsed.status());
    if (parsed->id.empty()) parsed->id = absl::StrFormat("grpc-%d", next_call_.fetch_add(1));
    parsed->deadline = deadline;
    access->id = parsed->id;
    parsed->access = access;
    const std::string id = parsed->id;
    const bool with_ids = parsed->return_token_ids;
    stream->Attach(service_.Start(*std::move(parsed), stream), id, with_ids);
  });
  if (!runs) stream->Refuse(Busy());
  return stream.get();
}

grpc::ServerUnaryReactor* TesseraService::RunUnary(grpc::CallbackServerContext* context, const char* method,
                                                   std::function<absl::Status()> job) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto finish = [reactor, access = BeginRecord(*context, method)](const absl::Status& status) {
    access->status = absl::StatusCodeToString(status.code());
    reactor->Finish(ToGrpc(status));
  };
  if (absl::Status status = CheckKey(*context, keys_); !status.ok()) {
    finish(status);
  } else if (!work_.TryRun([finish, job = std::move(job)] { finish(job()); })) {
    finish(Busy());
  }
  return reactor;
}

grpc::ServerUnaryReactor* TesseraService::Tokenize(grpc::CallbackServerContext* context,
                                                   const v1::TokenizeRequest* request, v1::TokenizeResponse* response) {
  return RunUnary(context, "Tokenize", [this, request, response]() -> absl::Status {
    TESSERA_RETURN_IF_ERROR(CheckModel(request->model(), service_.config()));
    TESSERA_ASSIGN_OR_RETURN(const Prompt prompt, FromProto(*request));
    TESSERA_ASSIGN_OR_RETURN(const std::vector<TokenId> ids, service_.Tokenize(prompt));
    response->mutable_token_ids()->Add(ids.begin(), ids.end());
    response->set_context_tokens_max(service_.limits().context_tokens_max);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* TesseraService::Detokenize(grpc::CallbackServerContext* context,
                                                     const v1::DetokenizeRequest* request,
                                                     v1::DetokenizeResponse* response) {
  return RunUnary(context, "Detokenize", [this, request, response]() -> absl::Status {
    TESSERA_RETURN_IF_ERROR(CheckModel(request->model(), service_.config()));
    const std::vector<TokenId> ids(request->token_ids().begin(), request->token_ids().end());
    TESSERA_ASSIGN_OR_RETURN(std::string text, service_.Detokenize(ids));
    response->set_text(std::move(text));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* TesseraService::GetModel(grpc::CallbackServerContext* context, const v1::GetModelRequest*,
                                                   v1::GetModelResponse* response) {
  return RunUnary(context, "GetModel", [this, response] {
    const absl::Status readiness = service_.Readiness();
    response->set_name(service_.config().model_name);
    response->set_context_tokens_max(service_.limits().context_tokens_max);
    response->set_vocab_size(service_.limits().vocab_size);
    response->set_chat_format(std::string(ChatFormatName(service_.chat_format().kind())));
    response->set_ready(readiness.ok());
    response->set_reason(std::string(readiness.message()));
    return absl::OkStatus();
  });
}

}  // namespace tessera
