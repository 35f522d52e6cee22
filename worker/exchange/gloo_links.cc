#include "worker/exchange/gloo_links.h"

#include <gloo/transport/address.h>
#include <gloo/transport/context.h>
#include <gloo/transport/pair.h>
#include <gloo/transport/tcp/device.h>
#include <gloo/transport/unbound_buffer.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <limits>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "worker/exchange/sigpipe_guard.h"

namespace tessera {
namespace {

// Gloo's own bytes for each message: a preamble with the data, one to announce it, one to ask for it.
constexpr int64_t kGlooBytesPerMessage = 3 * 48;
constexpr std::chrono::hours kForever(24 * 365);
constexpr int64_t kNoDeadline = std::numeric_limits<int64_t>::max();
constexpr uint64_t kWatchSlot = 2 * kNumCallKinds;  // nothing is ever sent there

struct MessageHeader {
  CallPosition position;
  int64_t index = 0;
  int64_t bytes = 0;
};

using BufferPtr = std::unique_ptr<gloo::transport::UnboundBuffer>;

// The buffers for one kind of call with one peer.
struct Lane {
  MessageHeader header_out, header_in;
  BufferPtr send_header, receive_header;  // over the two above
  BufferPtr send, receive;                // over the whole outbox and inbox
  int64_t bytes_in = LinkCall::kUnknown;  // asked for in this call

  uint64_t header_slot, message_slot;
};

struct Peer {
  int32_t rank = 0;
  std::array<Lane, kNumCallKinds> lanes;
};

std::chrono::milliseconds Remaining(absl::Time deadline) {
  const absl::Duration left = absl::Ceil(deadline - absl::Now(), absl::Milliseconds(1));
  return std::max(absl::ToChronoMilliseconds(left), std::chrono::milliseconds(1));
}

// Runs `body`, which calls Gloo; what it throws becomes a Status.
template <typename Body>
absl::Status Guarded(const Body& body) {
  const SigpipeGuard guard;
  try {
    return body();
  } catch (const std::exception& error) {
    return absl::UnavailableError(error.what());
  }
}

// The same for a call that concerns one peer. SIGPIPE is held back already.
template <typename Body>
absl::Status WithPeer(int32_t peer, const Body& body) {
  try {
    return body();
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrFormat("lost rank %d: %s", peer, error.what()));
  }
}

class TcpLinks final : public GlooLinks {
 public:
  TcpLinks(GlooOptions options, std::shared_ptr<Segment> outboxes, const Fault& fault,
           std::function<void(const absl::Status&)> on_lost)
      : options_(std::move(options)), outboxes_(std::move(outboxes)), fault_(fault), on_lost_(std::move(on_lost)) {}
  ~TcpLinks() override;

  absl::Status Start();

  std::vector<std::string> addresses() const override;
  absl::Status Connect(std::span<const std::string> peer_addresses) override;
  absl::Status Post(const LinkCall& call) override;
  absl::Status Collect(const LinkCall& call, std::span<std::span<const std::byte>> in) override;
  void Abort(const absl::Status& reason) override;
  int64_t bytes_sent() const override { return bytes_sent_; }

 private:
  void MakeBuffers();
  absl::Status PostTo(Peer& peer, const LinkCall& call, int64_t& next);
  absl::Status TakeHeader(Peer& peer, const LinkCall& call);
  absl::Status AskForMessage(Peer& peer, const LinkCall& call, int64_t& next);
  absl::Status Wait(gloo::transport::UnboundBuffer& buffer, bool to_receive, int32_t peer, const LinkCall& call);
  void Watch();
  std::string LostPeers() const;
  Lane& LaneOf(Peer& peer, const LinkCall& call) { return peer.lanes[static_cast<size_t>(call.position.kind)]; }

  const GlooOptions options_;
  const std::shared_ptr<Segment> outboxes_;
  const Fault& fault_;
  const std::function<void(const absl::Status&)> on_lost_;
  std::shared_ptr<gloo::transport::Device> device_;
  std::shared_ptr<gloo::transport::Context> context_;
  std::array<std::shared_ptr<std::byte>, kNumCallKinds> inboxes_;
  std::vector<Peer> peers_;
  BufferPtr watch_;  // receives for ever from every peer: fails when a connection does
  char watched_ = 0;
  std::thread watcher_;
  std::atomic<bool> is_connected_ = false;          // all buffers are there
  std::atomic<int64_t> deadline_ns_ = kNoDeadline;  // of the call under way
  int64_t bytes_sent_ = 0;
};

absl::StatusOr<std::shared_ptr<std::byte>> MapInbox(int64_t bytes) {
  const auto size = static_cast<size_t>(std::max<int64_t>(bytes, 1));
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrFormat("exchange: cannot map %d bytes to receive into", bytes));
  }
  return std::shared_ptr<std::byte>(static_cast<std::byte*>(memory), [size](std::byte* p) { ::munmap(p, size); });
}

absl::Status TcpLinks::Start() {
  for (size_t kind = 0; kind < inboxes_.size(); ++kind) {
    TESSERA_ASSIGN_OR_RETURN(inboxes_[kind], MapInbox(options_.inbox_bytes[kind]));
  }
  return Guarded([&] {
    gloo::transport::tcp::attr where;
    where.hostname = options_.address;
    device_ = gloo::transport::tcp::CreateDevice(where);
    context_ = device_->createContext(options_.rank, options_.num_ranks);
    // A pair waits for its connection five times as long.
    context_->setTimeout(absl::ToChronoMilliseconds(options_.connect_timeout / 5));
    for (const int32_t peer : options_.peers) context_->createPair(peer);
    return absl::OkStatus();
  });
}

std::vector<std::string> TcpLinks::addresses() const {
  std::vector<std::string> addresses(static_cast<size_t>(options_.num_ranks));
  for (const int32_t peer : options_.peers) {
    const std::vector<char> bytes = context_->getPair(peer)->address().bytes();
    addresses[static_cast<size_t>(peer)].assign(bytes.begin(), bytes.end());
  }
  return addresses;
}

absl::Status TcpLinks::Connect(std::span<const std::string> peer_addresses) {
  for (const int32_t peer : options_.peers) {
    const std::string& address = peer_addresses[static_cast<size_t>(peer)];
    const absl::Status connected = Guarded([&] {
      context_->getPair(peer)->connect(std::vector<char>(address.begin(), address.end()));
      return absl::OkStatus();
    });
    if (fault_.is_raised()) return fault_.status();
    if (!connected.ok()) {
      return absl::UnavailableError(absl::StrFormat("rank %d, at %s, cannot connect to rank %d: %s", options_.rank,
                                                    options_.address, peer, connected.message()));
    }
  }
  return Guarded([&] {
    MakeBuffers();
    is_connected_ = true;
    watcher_ = std::thread([this] { Watch(); });
    return fault_.status();
  });
}

void TcpLinks::MakeBuffers() {
  peers_.resize(options_.peers.size());
  watch_ = context_->createUnboundBuffer(&watched_, sizeof(watched_));
  for (size_t i = 0; i < peers_.size(); ++i) {
    Peer& peer = peers_[i];
    peer.rank = options_.peers[i];
    for (size_t kind = 0; kind < peer.lanes.size(); ++kind) {
      Lane& lane = peer.lanes[kind];
      const std::span<std::byte> outbox = outboxes_->outbox(static_cast<CallKind>(kind));
      lane.send_header = context_->createUnboundBuffer(&lane.header_out, sizeof(MessageHeader));
      lane.receive_header = context_->createUnboundBuffer(&lane.header_in, sizeof(MessageHeader));
      lane.send = context_->createUnboundBuffer(outbox.data(), outbox.size());
      lane.receive =
          context_->createUnboundBuffer(inboxes_[kind].get(), static_cast<size_t>(options_.inbox_bytes[kind]));
      lane.header_slot = 2 * kind;
      lane.message_slot = 2 * kind + 1;
      // Asked for one call of this kind ahead, so that a peer's header never waits for its receiver.
      lane.receive_header->recv(peer.rank, lane.header_slot);
    }
    watch_->recv(peer.rank, kWatchSlot);
  }
}

absl::Status TcpLinks::Post(const LinkCall& call) {
  const SigpipeGuard guard;
  deadline_ns_ = absl::ToUnixNanos(call.deadline);
  int64_t next = 0;
  for (Peer& peer : peers_) {
    TESSERA_RETURN_IF_ERROR(WithPeer(peer.rank, [&] { return PostTo(peer, call, next); }));
  }
  return absl::OkStatus();
}

absl::Status TcpLinks::PostTo(Peer& peer, const LinkCall& call, int64_t& next) {
  const ByteRange& message = call.out[static_cast<size_t>(peer.rank)];
  Lane& lane = LaneOf(peer, call);
  lane.header_out = {.position = call.position, .index = call.index, .bytes = message.size};
  lane.send_header->send(peer.rank, lane.header_slot);
  bytes_sent_ += static_cast<int64_t>(sizeof(MessageHeader)) + kGlooBytesPerMessage;
  if (message.size > 0) {
    lane.send->send(peer.rank, lane.message_slot, static_cast<size_t>(message.begin),
                    static_cast<size_t>(message.size));
    bytes_sent_ += message.size + kGlooBytesPerMessage;
  }
  lane.bytes_in = call.in_bytes[static_cast<size_t>(peer.rank)];
  return lane.bytes_in == LinkCall::kUnknown ? absl::OkStatus() : AskForMessage(peer, call, next);
}

absl::Status TcpLinks::AskForMessage(Peer& peer, const LinkCall& call, int64_t& next) {
  Lane& lane = LaneOf(peer, call);
  const int64_t room = options_.inbox_bytes[static_cast<size_t>(call.position.kind)] - next;
  if (lane.bytes_in < 0 || lane.bytes_in > room) {
    return absl::InternalError(
        absl::StrFormat("rank %d sends %d bytes, there is room for %d", peer.rank, lane.bytes_in, room));
  }
  if (lane.bytes_in > 0) {
    lane.receive->recv(peer.rank, lane.message_slot, static_cast<size_t>(next), static_cast<size_t>(lane.bytes_in));
  }
  next += (lane.bytes_in + 7) / 8 * 8;
  return absl::OkStatus();
}

absl::Status TcpLinks::Collect(const LinkCall& call, std::span<std::span<const std::byte>> in) {
  const SigpipeGuard guard;
  int64_t next = 0;
  for (Peer& peer : peers_) {
    const bool was_asked_for = LaneOf(peer, call).bytes_in != LinkCall::kUnknown;
    TESSERA_RETURN_IF_ERROR(Wait(*LaneOf(peer, call).receive_header, true, peer.rank, call));
    TESSERA_RETURN_IF_ERROR(WithPeer(peer.rank, [&] { return TakeHeader(peer, call); }));
    if (was_asked_for) continue;
    TESSERA_RETURN_IF_ERROR(WithPeer(peer.rank, [&] { return AskForMessage(peer, call, next); }));
  }
  const std::byte* place = inboxes_[static_cast<size_t>(call.position.kind)].get();
  for (Peer& peer : peers_) {
    Lane& lane = LaneOf(peer, call);
    if (lane.bytes_in > 0) TESSERA_RETURN_IF_ERROR(Wait(*lane.receive, true, peer.rank, call));
    in[static_cast<size_t>(peer.rank)] = {place, static_cast<size_t>(lane.bytes_in)};
    place += (lane.bytes_in + 7) / 8 * 8;
    TESSERA_RETURN_IF_ERROR(Wait(*lane.send_header, false, peer.rank, call));
    if (lane.header_out.bytes > 0) TESSERA_RETURN_IF_ERROR(Wait(*lane.send, false, peer.rank, call));
  }
  deadline_ns_ = kNoDeadline;  // after a failure the watching thread must still know whether it was late
  return absl::OkStatus();
}

// Checks that the peer is where this rank is, and asks for its next header.
absl::Status TcpLinks::TakeHeader(Peer& peer, const LinkCall& call) {
  Lane& lane = LaneOf(peer, call);
  const MessageHeader header = lane.header_in;
  lane.receive_header->recv(peer.rank, lane.header_slot);
  if (header.position != call.position || header.index != call.index) {
    return absl::InternalError(absl::StrFormat("the ranks have lost each other: rank %d is in %s, its call %d, not %d",
                                               peer.rank, Describe(header.position), header.index, call.index));
  }
  if (lane.bytes_in != LinkCall::kUnknown && lane.bytes_in != header.bytes) {
    return absl::InternalError(
        absl::StrFormat("rank %d sends %d bytes, wanted %d", peer.rank, header.bytes, lane.bytes_in));
  }
  lane.bytes_in = header.bytes;
  return absl::OkStatus();
}

absl::Status TcpLinks::Wait(gloo::transport::UnboundBuffer& buffer, bool to_receive, int32_t peer,
                            const LinkCall& call) {
  const std::chrono::milliseconds remaining = Remaining(call.deadline);
  absl::Status failed;
  try {
    const bool is_done = to_receive ? buffer.waitRecv(nullptr, remaining) : buffer.waitSend(nullptr, remaining);
    if (is_done) return absl::OkStatus();
    failed = absl::CancelledError("aborted");
  } catch (const std::exception& error) {
    failed = absl::UnavailableError(absl::StrFormat("lost rank %d: %s", peer, error.what()));
  }
  if (fault_.is_raised()) return fault_.status();
  if (absl::Now() < call.deadline) return failed;
  return absl::DeadlineExceededError(
      absl::StrFormat("rank %d did not %s in time", peer, to_receive ? "come" : "take what was sent"));
}

// Sleeps until a connection breaks or Abort wakes it.
void TcpLinks::Watch() {
  std::string detail;
  try {
    if (!watch_->waitRecv(nullptr, kForever)) return;
  } catch (const std::exception& error) {
    detail = error.what();
  }
  // When a call has timed out Gloo breaks all connections; the thread that waited knows best what to say.
  if (absl::GetCurrentTimeNanos() >= deadline_ns_) return;
  on_lost_(absl::UnavailableError(absl::StrCat("lost ", LostPeers(), ": ", detail)));
}

// Those whose connections do not work any more.
std::string TcpLinks::LostPeers() const {
  std::string lost;
  for (const int32_t peer : options_.peers) {
    const absl::Status probed = Guarded([&] {
      context_->getPair(peer)->recv(watch_.get(), kWatchSlot, 0, sizeof(watched_));
      return absl::OkStatus();
    });
    if (!probed.ok()) absl::StrAppend(&lost, lost.empty() ? "rank " : ", rank ", peer);
  }
  return lost.empty() ? "a rank" : lost;
}

void TcpLinks::Abort(const absl::Status&) {
  if (is_connected_) {
    for (Peer& peer : peers_) {
      for (Lane& lane : peer.lanes) {
        for (const BufferPtr* buffer : {&lane.send_header, &lane.receive_header, &lane.send, &lane.receive}) {
          (*buffer)->abortWaitRecv();
          (*buffer)->abortWaitSend();
        }
      }
    }
    watch_->abortWaitRecv();
  }
  // Closing resets the connections, so peers notice at once.
  (void)Guarded([&] {
    for (const int32_t peer : options_.peers) context_->getPair(peer)->close();
    return absl::OkStatus();
  });
}

TcpLinks::~TcpLinks() {
  if (watch_ != nullptr) watch_->abortWaitRecv();
  if (watcher_.joinable()) watcher_.join();
  // Buffers know their context, pairs their device: in this order.
  (void)Guarded([&] {
    peers_.clear();
    watch_.reset();
    context_.reset();
    device_.reset();
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<GlooLinks>> GlooLinks::Listen(GlooOptions options, std::shared_ptr<Segment> outboxes,
                                                             const Fault& fault,
                                                             std::function<void(const absl::Status&)> on_lost) {
  auto links = std::make_unique<TcpLinks>(std::move(options), std::move(outboxes), fault, std::move(on_lost));
  TESSERA_RETURN_IF_ERROR(links->Start());
  return links;
}

}  // namespace tessera
