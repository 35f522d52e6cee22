#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "server/http/exchange.h"

namespace tessera {

// Answers with what a job on another thread comes to.
class JobResponder final : public Responder, public std::enable_shared_from_this<JobResponder> {
 public:
  explicit JobResponder(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}

  // Once, from any thread.
  void Finish(HttpResponse response) {
    exchange_->Post([self = shared_from_this(), response = std::move(response)]() mutable {
      if (!self->is_gone_) self->exchange_->Respond(std::move(response));
    });
  }

  void OnClientGone() override { is_gone_ = true; }

 private:
  const std::shared_ptr<Exchange> exchange_;
  bool is_gone_ = false;
};

}  // namespace tessera
