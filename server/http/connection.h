#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <limits>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "base/clock.h"
#include "server/http/byte_stream.h"
#include "server/http/exchange.h"
#include "server/http/http_config.h"
#include "server/http/request_reader.h"
#include "server/http/router.h"
#include "server/metrics/access_log.h"
#include "server/metrics/server_metrics.h"

namespace tessera {

// One client's connection, TCP or TLS: reads requests one after the other (pipelined ones wait), lets a responder
// answer each, and notices when the client goes away, in whatever phase. It keeps reading while a request is answered;
// an end of the client's stream alone is not a farewell, because a client may close its sending half and still read, so
// the client is then probed by sending until an error shows that it has gone. Its stream's executor is its strand:
// everything but Post and the ticks runs there. Time comes from the clock; OnTick must be called again and again.
class Connection final : public Exchange, public std::enable_shared_from_this<Connection> {
 public:
  // What all connections of a server share; outlives them.
  struct Shared {
    HttpConfig config;
    const Router& router;
    const Clock& clock;
    ServerMetrics& metrics;
    const AccessLog& access_log;
    ByteBudget body_budget;
    std::atomic<bool> is_draining = false;
    std::atomic<uint64_t> next_request = 0;
  };

  Connection(std::unique_ptr<ByteStream> stream, Shared& shared);
  ~Connection() override;

  void Start();
  // Any thread. Does what has become due.
  void OnTick(int64_t now_ns);
  // Any thread. No further request: closes now if idle, else after the running answer.
  void Drain();
  // Any thread.
  void Abort();

  void Post(std::function<void()> task) override;
  void Respond(HttpResponse response) override;
  void BeginBody(HttpResponse head) override;
  void Write(std::string data) override;
  void EndBody() override;
  void Cut() override;
  bool IsIdle() const override { return output_.empty(); }

 private:
  enum class State {
    kReading,    // the next request, perhaps none of it yet
    kAnswering,  // a responder is at work
    kLingering,  // the last response is on its way; what the client still sends is thrown away
    kClosed,
  };

  void OnOpen(boost::system::error_code error);
  void BeginRequest();
  void StartRead();
  void OnRead(boost::system::error_code error, size_t num_bytes);
  void OnEndOfInput();
  void ProcessInput();
  void Dispatch();
  void BeginRecord(std::string method, std::string route);
  void RefuseInput();
  void AwaitError();

  void Send(std::string data);
  void StartWrite();
  void OnWrite(boost::system::error_code error);
  void EndExchange();
  void AfterResponse();
  void Linger();
  void ClientGone();
  void Close();

  void SetDeadline(absl::Duration timeout);
  void SetKeepAlive();
  void OnDue(int64_t now_ns);
  int64_t After(absl::Duration delay) const { return absl::ToUnixNanos(shared_.clock.Now() + delay); }

  const std::unique_ptr<ByteStream> stream_;
  Shared& shared_;
  const std::string client_;  // address and port
  State state_ = State::kReading;
  RequestReader reader_;
  // Apart from the reader's, whose bytes may move while a read is under way.
  std::array<char, 16 << 10> read_buffer_;
  bool is_reading_ = false;
  bool input_ended_ = false;

  std::shared_ptr<Responder> responder_;
  std::string request_id_;
  std::shared_ptr<AccessRecord> access_;  // of the request that is being answered
  bool is_head_request_ = false;
  bool keeps_alive_ = false;
  bool is_http_1_0_ = false;
  bool body_begun_ = false;
  BodyFraming framing_ = BodyFraming::kLength;
  bool exchange_over_ = false;      // the responder is done; its bytes may be still on their way
  std::deque<std::string> output_;  // front: being written
  int64_t num_discarded_ = 0;

  // Unix time in nanoseconds; read by OnTick.
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  std::atomic<int64_t> deadline_ns_ = kNever;        // then the connection is closed
  std::atomic<int64_t> keep_alive_due_ns_ = kNever;  // then something is to be sent
};

}  // namespace tessera
