#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tessera {

// Where a server listens. No TLS: the client is for loopback and trusted networks.
struct ServerAddress {
  std::string host;
  std::string port;

  // Reads "http://host:port" or "http://host"; anything else is refused.
  static absl::StatusOr<ServerAddress> Parse(std::string_view url);
};

// Ends a call under way from another thread.
class CallStopper {
 public:
  void Stop();
  bool stopped() const { return stopped_; }

 private:
  friend class StoppableSocket;
  std::atomic<int> socket_{-1};
  std::atomic<bool> stopped_{false};
};

// GET; the body. A status other than 200 is an error with the body's text.
absl::StatusOr<std::string> HttpGet(const ServerAddress& server, const std::string& path, const std::string& api_key);

// POSTs a JSON body to a route that answers with server-sent events and calls `on_data` with the payload of each event,
// up to "[DONE]". Cancelled when the stopper was used.
absl::Status HttpPostEvents(const ServerAddress& server, const std::string& path, const std::string& api_key,
                            const std::string& body, CallStopper& stopper,
                            const std::function<void(std::string_view)>& on_data);

}  // namespace tessera
