#include "server/session/generation.h"

#include <boost/asio/post.hpp>
#include <random>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "server/session/request_builder.h"
#include "server/tokenizer/stop_matcher.h"

namespace tessera {
namespace {

uint64_t RandomBits() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

EndState EndStateOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnimplemented:
      return EndState::kRefused;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
      return EndState::kOverload;
    case absl::StatusCode::kDeadlineExceeded:
      return EndState::kDeadline;
    default:
      return EndState::kError;
  }
}

EndState EndStateOf(ChoiceFinish finish) {
  switch (finish) {
    case ChoiceFinish::kStop:
      return EndState::kStop;
    case ChoiceFinish::kLength:
      return EndState::kLength;
    case ChoiceFinish::kToolCalls:
      return EndState::kToolCalls;
  }
  TESSERA_CHECK(false);
}

// What the client is told when the engine ended a request before its answer was whole.
absl::Status StatusOfEngineEnd(const RequestTokens& tokens) {
  switch (*tokens.finish) {
    case FinishReason::kDeadline:
      return absl::DeadlineExceededError("the request's deadline has passed");
    case FinishReason::kCancelled:
      return absl::UnavailableError("the engine gave the request up; try again");
    default:
      return tokens.status.ok() ? absl::InternalError("the engine failed without a message") : tokens.status;
  }
}

}  // namespace

Generation::Generation(GenerationService& service, GenerateRequest request, std::weak_ptr<GenerateObserver> observer)
    : service_(service),
      request_(std::move(request)),
      observer_(std::move(observer)),
      strand_(service.MakeStrand()),
      events_(service.config_.client_buffer_bytes_max) {
  summary_.arrival = request_.arrival;
  summary_.num_choices = request_.n;
}

void Generation::Start() {
  if (absl::Status status = service_.Readiness(); !status.ok()) return End(std::move(status));
  if (!service_.work_.TryRun([self = shared_from_this()] { self->PrepareAndSubmit(); })) {
    End(absl::ResourceExhaustedError("too many prompts are waiting to be tokenized; try again later"));
  }
}

void Generation::End(absl::Status status) {
  boost::asio::post(
      strand_, [self = shared_from_this(), status = std::move(status)] { self->Fail(status, EndStateOf(status)); });
}

void Generation::Cancel() {
  is_cancelled_ = true;
  boost::asio::post(strand_, [self = shared_from_this()] {
    self->Fail(absl::CancelledError("cancelled by the client"), EndState::kCancelled);
  });
}

void Generation::OnTokens(RequestTokens tokens) {
  boost::asio::post(strand_, [self = shared_from_this(), tokens = std::move(tokens)]() mutable {
    self->HandleTokens(std::move(tokens));
  });
}

void Generation::PrepareAndSubmit() {
  if (is_cancelled_) return;
  absl::StatusOr<Prepared> prepared = Prepare();
  if (!prepared.ok()) return End(prepared.status());
  boost::asio::post(strand_, [self = shared_from_this(), prepared = *std::move(prepared)]() mutable {
    self->Submit(std::move(prepared));
  });
}

absl::StatusOr<Generation::Prepared> Generation::Prepare() const {
  TESSERA_RETURN_IF_ERROR(CheckRequest(request_, service_.config_));
  std::shared_ptr<const StopStrings> stops;
  if (!request_.stop.empty()) {
    TESSERA_ASSIGN_OR_RETURN(stops, StopStrings::Create(request_.stop, {.count_max = service_.config_.stop_strings_max,
                                                                        .bytes_max = service_.config_.stop_bytes_max}));
  }
  Prepared prepared;
  std::vector<std::vector<TokenId>> ids;
  for (const Prompt& prompt : request_.prompts) {
    TESSERA_ASSIGN_OR_RETURN(EncodedPrompt encoded, service_.encoder_.Encode(prompt));
    encoded.parser.stops = stops;
    encoded.parser.make_call_id = [](int) { return absl::StrFormat("call_%016x", RandomBits()); };
    ids.push_back(encoded.ids);
    prepared.prompts.push_back(std::move(encoded));
  }
  TESSERA_ASSIGN_OR_RETURN(prepared.requests,
                           BuildRequests(request_, ids, service_.config_, service_.engine_.limits(), RandomBits()));
  return prepared;
}

std::unique_ptr<Choice> Generation::MakeChoice(const EncodedPrompt& prompt, int32_t choice_index) const {
  ChoiceOptions options{.choice_index = choice_index,
                        .parser = prompt.parser,
                        .return_token_ids = request_.return_token_ids,
                        .has_logprobs = request_.logprobs.has_value(),
                        .drops_tokens = request_.max_tokens == 0};
  if (request_.echo) {
    const Prompt& source = request_.prompts[static_cast<size_t>(choice_index / request_.n)];
    if (const auto* text = std::get_if<TextPrompt>(&source)) {
      options.echo_text = text->text;
    } else {
      options.echo_ids = prompt.ids;
    }
  }
  return std::make_unique<Choice>(service_.tokenizer_, std::move(options));
}

void Generation::Submit(Prepared prepared) {
  if (has_ended_) return;
  if (service_.clock_.Now() > request_.deadline) {
    return Fail(absl::DeadlineExceededError("the request's deadline has passed"), EndState::kDeadline);
  }
  StartedEvent started;
  for (const EncodedPrompt& prompt : prepared.prompts) {
    started.num_prompt_tokens += static_cast<int64_t>(prompt.ids.size());
    if (request_.return_token_ids || request_.echo || request_.prompt_logprobs.has_value()) {
      started.prompt_ids.push_back(prompt.ids);
    }
  }
  summary_.num_prompt_tokens = started.num_prompt_tokens;
  summary_.max_tokens = prepared.requests.front().max_tokens;
  for (size_t i = 0; i < prepared.requests.size(); ++i) {
    choices_.push_back(
        {.choice = MakeChoice(prepared.prompts[i / static_cast<size_t>(request_.n)], static_cast<int32_t>(i))});
  }
  if (absl::Status status = SubmitAll(std::move(prepared.requests)); !status.ok()) {
    const EndState end = EndStateOf(status);
    return Fail(std::move(status), end);
  }
  summary_.is_admitted = true;
  Push(std::move(started));
}

absl::Status Generation::SubmitAll(std::vector<Request> requests) {
  for (size_t i = 0; i < requests.size(); ++i) {
    // Routed first: the engine may deliver tokens before Submit returns.
    const RequestId id = service_.Route(shared_from_this());
    requests[i].id = id;
    if (absl::Status status = service_.engine_.Submit(std::move(requests[i])); !status.ok()) {
      service_.Unroute(id);
      return status;
    }
    choices_[i].id = id;
  }
  return absl::OkStatus();
}

void Generation::MeasureGap(ChoiceState& state, absl::Time now) {
  if (summary_.first_token == absl::InfinitePast()) summary_.first_token = now;
  if (state.last_tokens != absl::InfinitePast()) service_.metrics_.OnTokenGap(now - state.last_tokens);
  state.last_tokens = now;
}

void Generation::HandleTokens(RequestTokens tokens) {
  if (has_ended_) return;
  ChoiceState* state = nullptr;
  for (ChoiceState& candidate : choices_) {
    if (candidate.id == tokens.request) state = &candidate;
  }
  if (state == nullptr || state->choice->is_finished()) return;  // what was under way when a stop string matched
  if (tokens.started != absl::InfinitePast() && summary_.started == absl::InfinitePast()) {
    summary_.started = tokens.started;
  }
  if (!tokens.tokens.empty()) MeasureGap(*state, service_.clock_.Now());
  if (tokens.finish.has_value()) service_.Unroute(tokens.request);
  if (tokens.finish.has_value() && *tokens.finish != FinishReason::kStop && *tokens.finish != FinishReason::kLength) {
    state->id = RequestId();  // ended: not to be cancelled
    absl::Status status = StatusOfEngineEnd(tokens);
    const EndState end = *tokens.finish == FinishReason::kError ? EndState::kError : EndStateOf(status);
    return Fail(std::move(status), end);
  }
  ChoiceDelta delta = state->choice->Push(std::move(tokens));
  if (state->choice->is_finished()) HandleFinish(*state, delta);
  if (delta.HasContent() && !Push(std::move(delta))) return;
  if (num_finished_ == choices_.size()) Finish();
}

void Generation::HandleFinish(ChoiceState& state, const ChoiceDelta& delta) {
  if (num_finished_++ == 0) first_finish_ = *delta.finish;
  if (state.choice->engine_runs_on()) {
    service_.Unroute(state.id);
    service_.engine_.Cancel(state.id);
  }
  state.id = RequestId();
}

void Generation::CancelEngine() {
  for (ChoiceState& state : choices_) {
    if (state.id == RequestId()) continue;
    service_.Unroute(state.id);
    service_.engine_.Cancel(state.id);
    state.id = RequestId();
  }
}

bool Generation::Push(GenerateEvent event) {
  if (!events_.TryPush(std::move(event))) {
    is_cut_ = true;
    Fail(absl::AbortedError(absl::StrFormat("the client left more than %d bytes of events unread",
                                            service_.config_.client_buffer_bytes_max)),
         EndState::kSlowClient);
    return false;
  }
  if (const auto observer = observer_.lock()) observer->OnEventsReady();
  return true;
}

void Generation::Fail(absl::Status status, EndState end) {
  if (has_ended_) return;
  has_ended_ = true;
  CancelEngine();
  Push(FailedEvent{std::move(status)});
  Conclude(end);
}

void Generation::Finish() {
  has_ended_ = true;
  Usage usage{.prompt_tokens = summary_.num_prompt_tokens};
  for (size_t i = 0; i < choices_.size(); ++i) {
    const Choice& choice = *choices_[i].choice;
    usage.completion_tokens += choice.num_tokens();
    usage.reasoning_tokens += choice.num_reasoning_tokens();
    // The choices of one prompt after the first may find it in the cache because of the first.
    if (i % static_cast<size_t>(request_.n) == 0) usage.cached_prompt_tokens += choice.num_cached_prompt_tokens();
  }
  Push(DoneEvent{usage});
  Conclude(EndStateOf(first_finish_));
}

void Generation::Conclude(EndState end) {
  summary_.end = end;
  summary_.ended = service_.clock_.Now();
  for (const ChoiceState& state : choices_) summary_.num_generated_tokens += state.choice->num_tokens();
  if (request_.access != nullptr) request_.access->summary = summary_;
  service_.metrics_.OnRequestEnded(summary_);
  service_.OnEnded(shared_from_this());
}

}  // namespace tessera
