#include "server/http/connection.h"

#include <boost/asio/post.hpp>
#include <sstream>
#include <utility>

#include "absl/strings/str_format.h"
#include "server/http/error_body.h"

namespace tessera {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// What may wait unread behind the request that is being answered.
constexpr size_t kPipelinedBytesMax = 64 << 10;
// After a refusal the client may still send this much, so that the response is not lost in a reset.
constexpr int64_t kDiscardedBytesMax = 64 << 20;
constexpr absl::Duration kLingerTimeout = absl::Seconds(2);
// How often a client that closed its sending half is probed.
constexpr absl::Duration kProbeInterval = absl::Milliseconds(250);

std::string AddressOf(const asio::ip::tcp::socket& socket) {
  error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  std::ostringstream text;
  if (!error) text << endpoint;
  return text.str();
}

}  // namespace

Connection::Connection(std::unique_ptr<ByteStream> stream, Shared& shared)
    : stream_(std::move(stream)),
      shared_(shared),
      client_(AddressOf(stream_->socket())),
      reader_(shared.config, shared.body_budget) {
  shared_.metrics.OnConnectionOpened();
}

Connection::~Connection() { shared_.metrics.OnConnectionClosed(); }

void Connection::Start() {
  Post([this] {
    error_code ignored;
    stream_->socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    SetDeadline(shared_.config.receive_timeout);
    stream_->Open([self = shared_from_this()](error_code error) { self->OnOpen(error); });
  });
}

void Connection::OnOpen(error_code error) {
  if (state_ == State::kClosed) return;
  if (error) return Close();
  BeginRequest();
  StartRead();
}

void Connection::Post(std::function<void()> task) {
  asio::post(stream_->executor(), [self = shared_from_this(), task = std::move(task)] { task(); });
}

void Connection::OnTick(int64_t now_ns) {
  if (now_ns < deadline_ns_ && now_ns < keep_alive_due_ns_) return;
  Post([this, now_ns] { OnDue(now_ns); });
}

void Connection::Drain() {
  Post([this] {
    if (state_ == State::kReading && !reader_.has_begun() && reader_.num_waiting_bytes() == 0) Close();
  });
}

void Connection::Abort() {
  Post([this] { ClientGone(); });
}

void Connection::OnDue(int64_t now_ns) {
  if (state_ == State::kClosed) return;
  if (now_ns >= deadline_ns_) return ClientGone();
  if (now_ns < keep_alive_due_ns_ || state_ != State::kAnswering || exchange_over_) return;
  SetKeepAlive();
  if (!output_.empty()) return;  // what is on its way serves as well
  if (input_ended_ && !body_begun_) {
    // Leaves the status open; a client must read over interim responses (RFC 9110, 15.2).
    if (!is_http_1_0_) Send("HTTP/1.1 100 Continue\r\n\r\n");
    return;
  }
  if (const auto responder = responder_) responder->OnKeepAliveDue();
}

void Connection::SetDeadline(absl::Duration timeout) { deadline_ns_ = After(timeout); }

void Connection::SetKeepAlive() {
  const absl::Duration interval = shared_.config.keep_alive_interval;
  keep_alive_due_ns_ = After(input_ended_ ? std::min(kProbeInterval, interval) : interval);
}

// ---- Input ----

void Connection::BeginRequest() {
  state_ = State::kReading;
  responder_ = nullptr;
  exchange_over_ = body_begun_ = false;
  SetDeadline(shared_.config.idle_timeout);
  keep_alive_due_ns_ = kNever;
}

void Connection::StartRead() {
  if (is_reading_ || input_ended_ || state_ == State::kClosed) return;
  if (state_ == State::kAnswering && reader_.num_waiting_bytes() >= kPipelinedBytesMax) return;
  is_reading_ = true;
  stream_->ReadSome(asio::buffer(read_buffer_), [self = shared_from_this()](error_code error, size_t num_bytes) {
    self->OnRead(error, num_bytes);
  });
}

void Connection::OnRead(error_code error, size_t num_bytes) {
  is_reading_ = false;
  if (state_ == State::kClosed) return;
  if (error == asio::error::eof) return OnEndOfInput();
  if (error) return ClientGone();
  if (state_ == State::kLingering) {
    num_discarded_ += static_cast<int64_t>(num_bytes);
    if (num_discarded_ > kDiscardedBytesMax) return Close();
    return StartRead();
  }
  reader_.Add({read_buffer_.data(), num_bytes});
  if (state_ == State::kReading) ProcessInput();
  StartRead();
}

void Connection::OnEndOfInput() {
  input_ended_ = true;
  if (state_ != State::kAnswering) return Close();
  AwaitError();
  // The first probe at once: a client that has gone for good answers it with a reset.
  keep_alive_due_ns_ = After(absl::ZeroDuration());
}

void Connection::AwaitError() {
  stream_->socket().async_wait(asio::socket_base::wait_error, [self = shared_from_this()](error_code error) {
    if (!error) self->ClientGone();
  });
}

void Connection::ProcessInput() {
  if (reader_.num_waiting_bytes() == 0) return;
  if (!reader_.has_begun()) SetDeadline(shared_.config.receive_timeout);
  const bool had_head = reader_.has_head();
  const RequestReader::Progress progress = reader_.Advance();
  if (progress == RequestReader::Progress::kRefused) return RefuseInput();
  if (progress == RequestReader::Progress::kComplete) return Dispatch();
  if (!had_head && reader_.expects_continue()) Send("HTTP/1.1 100 Continue\r\n\r\n");
}

void Connection::RefuseInput() {
  state_ = State::kAnswering;
  keeps_alive_ = is_head_request_ = false;
  request_id_ = absl::StrFormat("req-%d", shared_.next_request.fetch_add(1));
  BeginRecord(reader_.has_head() ? reader_.method() : "", reader_.has_head() ? reader_.path() : "");
  Respond(ErrorResponse(reader_.refusal()));
}

void Connection::BeginRecord(std::string method, std::string route) {
  access_ = shared_.access_log.Begin();
  access_->id = request_id_;
  access_->client = client_;
  access_->method = std::move(method);
  access_->route = std::move(route);
}

void Connection::Dispatch() {
  state_ = State::kAnswering;
  deadline_ns_ = kNever;
  SetKeepAlive();
  keeps_alive_ = reader_.keeps_alive();
  is_http_1_0_ = reader_.is_http_1_0();
  HttpRequest request = reader_.Take();
  is_head_request_ = request.method == "HEAD";
  if (request.id.empty()) {
    request.id =
        absl::StrFormat("req-%d-%d", absl::ToUnixMicros(shared_.clock.Now()), shared_.next_request.fetch_add(1));
  }
  request_id_ = request.id;
  BeginRecord(request.method, request.path);
  request.access = access_;
  auto responder = shared_.router.Handle(std::move(request), shared_from_this());
  if (state_ == State::kAnswering && !exchange_over_) responder_ = std::move(responder);
}

// ---- Output ----

void Connection::Respond(HttpResponse response) {
  if (state_ != State::kAnswering || exchange_over_) return;
  shared_.metrics.OnHttpResponse(response.status);
  access_->status = std::to_string(response.status);
  keeps_alive_ = keeps_alive_ && !shared_.is_draining;
  std::string data = FormatHead(response, BodyFraming::kLength, keeps_alive_, request_id_);
  if (!is_head_request_) data += response.body;
  Send(std::move(data));
  EndExchange();
}

void Connection::BeginBody(HttpResponse head) {
  if (state_ != State::kAnswering || exchange_over_) return;
  shared_.metrics.OnHttpResponse(head.status);
  access_->status = std::to_string(head.status);
  framing_ = is_http_1_0_ ? BodyFraming::kToClose : BodyFraming::kChunked;
  keeps_alive_ = keeps_alive_ && !is_http_1_0_ && !shared_.is_draining;
  body_begun_ = true;
  Send(FormatHead(head, framing_, keeps_alive_, request_id_));
}

void Connection::Write(std::string data) {
  if (state_ != State::kAnswering || exchange_over_ || data.empty()) return;
  Send(framing_ == BodyFraming::kChunked ? FormatChunk(data) : std::move(data));
}

void Connection::EndBody() {
  if (state_ != State::kAnswering || exchange_over_) return;
  if (framing_ == BodyFraming::kChunked) Send(std::string(kLastChunk));
  EndExchange();
}

void Connection::EndExchange() {
  exchange_over_ = true;
  access_ = nullptr;
  responder_ = nullptr;
  keep_alive_due_ns_ = kNever;
  if (output_.empty()) AfterResponse();
}

void Connection::Cut() {
  responder_ = nullptr;
  Close();
}

void Connection::Send(std::string data) {
  output_.push_back(std::move(data));
  if (output_.size() == 1) StartWrite();
}

void Connection::StartWrite() {
  SetDeadline(shared_.config.write_timeout);
  stream_->Write(asio::buffer(output_.front()),
                 [self = shared_from_this()](error_code error) { self->OnWrite(error); });
}

void Connection::OnWrite(error_code error) {
  if (state_ == State::kClosed) return;
  if (error) return ClientGone();
  output_.pop_front();
  if (!output_.empty()) return StartWrite();
  if (state_ == State::kReading) return SetDeadline(shared_.config.receive_timeout);  // sent 100 Continue
  deadline_ns_ = kNever;
  if (exchange_over_) return AfterResponse();
  SetKeepAlive();
  if (const auto responder = responder_) responder->OnWritten();
}

void Connection::AfterResponse() {
  if (!keeps_alive_ || input_ended_ || shared_.is_draining) return Linger();
  BeginRequest();
  ProcessInput();
  StartRead();
}

void Connection::Linger() {
  state_ = State::kLingering;
  reader_.Clear();
  stream_->ShutdownSend();
  if (input_ended_) return Close();
  SetDeadline(kLingerTimeout);
  StartRead();
}

void Connection::ClientGone() {
  if (state_ == State::kClosed) return;
  const std::shared_ptr<Responder> responder = std::move(responder_);
  Close();
  if (responder != nullptr) responder->OnClientGone();
}

void Connection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  access_ = nullptr;
  deadline_ns_ = keep_alive_due_ns_ = kNever;
  error_code ignored;
  stream_->socket().close(ignored);
}

}  // namespace tessera
