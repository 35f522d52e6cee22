#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/exchange/fault.h"
#include "worker/exchange/rank_links.h"
#include "worker/exchange/segment.h"

namespace tessera {

struct GlooOptions {
  int32_t rank = 0;
  int32_t num_ranks = 0;
  std::vector<int32_t> peers;
  std::string address;  // numeric, of this host: where it listens and from where it connects
  std::array<int64_t, kNumCallKinds> inbox_bytes{};  // the most that all peers send in one call
  absl::Duration connect_timeout;
};

// Links over TCP, by Gloo's transport. A call sends each peer a fixed header, then the message; the receiver asks for a
// message once its size is known. A thread watches all connections, so a peer that goes is noticed at once, also in
// the middle of a message, where Gloo itself would wait for its timeout.
class GlooLinks : public RankLinks {
 public:
  // Begins to listen. Messages are sent from `outboxes`. `on_lost` is called by the watching thread when a connection
  // breaks. `fault` outlives the links.
  static absl::StatusOr<std::unique_ptr<GlooLinks>> Listen(GlooOptions options, std::shared_ptr<Segment> outboxes,
                                                           const Fault& fault,
                                                           std::function<void(const absl::Status&)> on_lost);

  // What each peer needs to connect: addresses [ranks], empty for others.
  virtual std::vector<std::string> addresses() const = 0;

  // Connects to each peer, given what it made for this rank [ranks]. All ranks call it, in any order.
  virtual absl::Status Connect(std::span<const std::string> peer_addresses) = 0;
};

}  // namespace tessera
