#pragma once

#include <functional>
#include <memory>
#include <string>

#include "server/http/http_message.h"

namespace tessera {

// The way back to the client of one request. All methods but Post are for the connection's strand only.
class Exchange {
 public:
  virtual ~Exchange() = default;

  // Runs `task` on the connection's strand. Any thread.
  virtual void Post(std::function<void()> task) = 0;

  // The whole response. Ends the exchange.
  virtual void Respond(HttpResponse response) = 0;

  // A response whose body comes in pieces: BeginBody, Write …, EndBody (which ends the exchange).
  virtual void BeginBody(HttpResponse head) = 0;
  virtual void Write(std::string data) = 0;
  virtual void EndBody() = 0;

  // Closes the connection at once, so that a begun body is seen to be incomplete. Ends the exchange.
  virtual void Cut() = 0;

  // Everything written so far has left for the client. More should wait for OnWritten, so that a slow client's answer
  // waits in its bounded queue.
  virtual bool IsIdle() const = 0;
};

// What answers one request. Called on the connection's strand; not after the exchange has ended.
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void OnWritten() {}       // IsIdle() has become true
  virtual void OnKeepAliveDue() {}  // nothing was sent for a while: send something, lest a proxy gives up
  virtual void OnClientGone() = 0;  // the exchange has ended; nothing can be sent any more
};

}  // namespace tessera
