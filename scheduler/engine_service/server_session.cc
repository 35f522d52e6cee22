#include "scheduler/engine_service/server_session.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "absl/strings/str_format.h"
#include "scheduler/contract/wire/engine_proto.h"
#include "scheduler/contract/wire/status_proto.h"

namespace tessera {
namespace {

absl::Status CheckHello(const internal::v1::ServerMessage& message) {
  if (!message.has_hello()) return absl::InvalidArgumentError("a stream begins with a hello");
  if (message.hello().protocol() == wire::kEngineProtocolVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "the server speaks version %d of the server–scheduler protocol (build %s), this scheduler version %d",
      message.hello().protocol(), message.hello().build(), wire::kEngineProtocolVersion));
}

}  // namespace

void ServerSession::OnMessage(internal::v1::ServerMessage& message) {
  if (is_refused_) return;
  if (!has_hello_) {
    if (const absl::Status status = CheckHello(message); !status.ok()) {
      spdlog::warn("server {} is refused: {}", stream_->peer(), std::string(status.message()));
      is_refused_ = true;
      return stream_->Finish(status);
    }
    has_hello_ = true;
    spdlog::info("server {} ({}) is connected", message.hello().name(), stream_->peer());
    return service_.Greet(shared_from_this());
  }
  if (message.has_cancel()) return service_.Cancel(*this, RequestId{message.cancel().request()});
  if (!message.has_submit()) return;  // of a newer peer
  if (const absl::Status status = service_.Submit(shared_from_this(), message.submit()); !status.ok()) {
    internal::v1::EngineMessage refused;
    refused.mutable_refused()->set_request(message.submit().id());
    wire::ToProto(status, *refused.mutable_refused()->mutable_status());
    stream_->Send(std::move(refused));
  }
}

void ServerSession::OnClosed(const absl::Status& status) {
  spdlog::info("server {} is gone: {}", stream_->peer(), status.ToString());
  service_.Close(*this);
}

}  // namespace tessera
