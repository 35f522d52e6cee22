#include "server/session/generation_service.h"

#include <set>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "server/testing/scripted_service.h"

namespace tessera {
namespace {

using testing::HasSubstr;

// Waits for the events of one stream.
class Client final : public GenerateObserver {
 public:
  void OnEventsReady() override {
    MutexLock lock(mutex_);
    ++num_signals_;
    signalled_.NotifyAll();
  }

  // Takes events until `count` more deltas, or the end, have come.
  void Read(GenerateStream& stream, size_t count) {
    const size_t wanted = deltas.size() + count;
    while (!is_over && deltas.size() < wanted) {
      Await();
      for (GenerateEvent& event : stream.Take()) Sort(std::move(event));
    }
  }
  void ReadAll(GenerateStream& stream) { Read(stream, SIZE_MAX / 2); }

  std::string Text(int32_t choice = 0) const {
    std::string text;
    for (const ChoiceDelta& delta : deltas) {
      if (delta.choice_index == choice) text += delta.text;
    }
    return text;
  }

  std::vector<ChoiceDelta> deltas;
  Usage usage;
  absl::Status failure;
  bool is_started = false;
  bool is_over = false;

 private:
  void Await() {
    MutexLock lock(mutex_);
    while (num_signals_ == 0) signalled_.Wait(mutex_);
    num_signals_ = 0;
  }
  void Sort(GenerateEvent event) {
    if (auto* delta = std::get_if<ChoiceDelta>(&event)) deltas.push_back(std::move(*delta));
    if (std::holds_alternative<StartedEvent>(event)) is_started = true;
    if (auto* done = std::get_if<DoneEvent>(&event)) {
      usage = done->usage;
      is_over = true;
    }
    if (auto* failed = std::get_if<FailedEvent>(&event)) {
      failure = failed->status;
      is_over = true;
    }
  }

  Mutex mutex_;
  CondVar signalled_;
  int num_signals_ ABSL_GUARDED_BY(mutex_) = 0;
};

class GenerationServiceTest : public ScriptedServiceTest {
 protected:
  GenerationServiceTest() : ScriptedServiceTest("v3", /*client_buffer_bytes_max=*/16 << 10) {
    Says("hello", FinishReason::kLength);
  }

  GenerateRequest Ask(std::string prompt) const { return {.prompts = {TextPrompt{std::move(prompt)}}}; }
  std::shared_ptr<GenerateStream> Start(GenerateRequest request) { return service_.Start(std::move(request), client_); }
  // Exactly one request has ended, and in this way.
  bool CountsEnd(const std::string& end) const {
    const std::string line = "tessera_requests_ended_total{engine=\"0\",model_name=\"model\",end=\"" + end + "\"} 1";
    return metrics_.Scrape().find(line) != std::string::npos;
  }

  std::shared_ptr<Client> client_ = std::make_shared<Client>();
};

TEST_F(GenerationServiceTest, StreamsTextAndUsage) {
  script_.num_cached_tokens = 2;
  engine_.StartThread();
  const auto stream = Start(Ask("abc"));
  client_->ReadAll(*stream);
  EXPECT_TRUE(client_->is_started);
  EXPECT_EQ(client_->Text(), "hello");
  EXPECT_EQ(client_->usage.prompt_tokens, 4) << "BOS and three bytes";
  EXPECT_EQ(client_->usage.cached_prompt_tokens, 2);
  EXPECT_EQ(client_->usage.completion_tokens, 5);
  ASSERT_TRUE(service_.AwaitIdle(absl::Seconds(60)));
  EXPECT_TRUE(CountsEnd("length"));
}

TEST_F(GenerationServiceTest, FailsABadRequestBeforeItStarts) {
  GenerateRequest request = Ask("abc");
  request.stop = {""};
  const auto stream = Start(std::move(request));
  client_->ReadAll(*stream);
  EXPECT_FALSE(client_->is_started);
  EXPECT_THAT(client_->failure, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("stop[0]")));
  ASSERT_TRUE(service_.AwaitIdle(absl::Seconds(60)));
  EXPECT_TRUE(CountsEnd("refused"));
  EXPECT_TRUE(engine_.submitted().empty());
}

TEST_F(GenerationServiceTest, CancelsTheEngineOnceWhenAStopStringMatches) {
  script_.tokens = Spell(*tokenizer_, "abSTOPcd");
  GenerateRequest request = Ask("x");
  request.stop = {"STOP"};
  const auto stream = Start(std::move(request));
  engine_.AwaitSubmitted(1);
  for (int i = 0; i < 6; ++i) engine_.Step();
  client_->ReadAll(*stream);
  EXPECT_EQ(client_->Text(), "ab");
  EXPECT_EQ(client_->deltas.back().matched_stop, "STOP");
  EXPECT_EQ(client_->usage.completion_tokens, 6);
  EXPECT_EQ(engine_.num_cancelled(), 1);
  engine_.Step();
  stream->Cancel();
  ASSERT_TRUE(service_.AwaitIdle(absl::Seconds(60)));
  EXPECT_EQ(engine_.num_useless_cancels(), 0);
}

TEST_F(GenerationServiceTest, CancelEndsARequestThatIsQueued) {
  script_.waits = true;
  const auto stream = Start(Ask("x"));
  engine_.AwaitLive(1);
  stream->Cancel();
  ASSERT_TRUE(service_.AwaitIdle(absl::Seconds(60)));
  EXPECT_EQ(engine_.num_cancelled(), 1);
  engine_.Step();
  EXPECT_EQ(engine_.num_live(), 0);
  EXPECT_TRUE(CountsEnd("cancelled"));
}

TEST_F(GenerationServiceTest, SendsTheEngineNoCancelForWhatHasEnded) {
  GenerateRequest request = Ask("x");
  request.n = 3;
  script_.tokens = Spell(*tokenizer_, "a");
  const auto stream = Start(std::move(request));
  engine_.AwaitSubmitted(3);
  engine_.Step();  // all three end
  client_->ReadAll(*stream);
  stream->Cancel();
  ASSERT_TRUE(service_.AwaitIdle(absl::Seconds(60)));
  EXPECT_EQ(engine_.num_cancelled() + engine_.num_useless_cancels(), 0);
}

TEST_F(GenerationServiceTest, GivesChoicesTheirOwnStreams) {
  engine_.StartThread();
  GenerateRequest request = Ask("x");
  request.prompts.emplace_back(TextPrompt{"longer"});
  request.n = 2;
  const auto stream = Start(std::move(request));
  client_->ReadAll(*stream);
  for (int32_t choice = 0; choice < 4; ++choice) EXPECT_EQ(client_->Text(choice), "hello") << choice;
  EXPECT_EQ(client_->usage.prompt_tokens, 2 + 7) << "each prompt counts once";
  EXPECT_EQ(client_->usage.completion_tokens, 20);
}

TEST_F(GenerationServiceTest, SeedsDifferBetweenCallsWithoutASeed) {
  engine_.StartThread();
  std::set<uint64_t> seeds;
  for (int i = 0; i < 4; ++i) {
    auto client = std::make_shared<Client>();
    const auto stream = service_.Start(Ask("x"), client);
    client->ReadAll(*stream);
  }
  for (const Request& request : engine_.submitted()) seeds.insert(request.sampling.seed);
  EXPECT_EQ(seeds.size(), 4U);
}

TEST_F(GenerationServiceTest, LeavesNothingBehindWhenTheEngineRefusesALaterChoice) {
  engine_.RefuseWith(absl::ResourceExhaustedError("queue full"), /*num_taken_before=*/1);
  GenerateRequest request = Ask("x");
  request.n = 2;
  const auto stream = Start(std::move(request));
  client_->ReadAll(*stream);
  EXPECT_FALSE(client_->is_started);
  EXPECT_THAT(client_->failure, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("queue full")));
  ASSERT_TRUE(service_.AwaitIdle(absl::Seconds(60)));
  EXPECT_TRUE(CountsEnd("overload"));
  EXPECT_EQ(engine_.num_cancelled(), 1);
  engine_.Step();
  EXPECT_EQ(engine_.num_live(), 0);
}

TEST_F(GenerationServiceTest, TellsOfAFailureInMidStream) {
  script_.finish = FinishReason::kError;
  script_.status = absl::InternalError("logits are not finite");
  engine_.StartThread();
  const auto stream = Start(Ask("x"));
  client_->ReadAll(*stream);
  EXPECT_TRUE(client_->is_started);
  EXPECT_EQ(client_->Text(), "hell") << "the text before the failure has come";
  EXPECT_THAT(client_->failure, StatusIs(absl::StatusCode::kInternal, HasSubstr("not finite")));
  ASSERT_TRUE(service_.AwaitIdle(absl::Seconds(60)));
  EXPECT_TRUE(CountsEnd("error"));
}

TEST_F(GenerationServiceTest, ReportsADeadline) {
  script_.finish = FinishReason::kDeadline;
  engine_.StartThread();
  const auto stream = Start(Ask("x"));
  client_->ReadAll(*stream);
  EXPECT_THAT(client_->failure, StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("deadline")));
}

TEST_F(GenerationServiceTest, CutsAClientThatDoesNotRead) {
  script_.tokens.assign(900, 'x');
  const auto stream = Start(Ask("x"));
  engine_.AwaitSubmitted(1);
  while (engine_.num_cancelled() == 0 && engine_.Step() > 0) continue;
  ASSERT_TRUE(service_.AwaitIdle(absl::Seconds(60)));
  client_->ReadAll(*stream);
  EXPECT_THAT(client_->failure, StatusIs(absl::StatusCode::kAborted, HasSubstr("unread")));
  EXPECT_LT(client_->Text().size(), 900U);
  EXPECT_TRUE(CountsEnd("slow_client"));
}

TEST_F(GenerationServiceTest, RefusesWorkWhenItIsNotReadyOrDrains) {
  engine_.SetReady(false);
  const auto stream = Start(Ask("x"));
  client_->ReadAll(*stream);
  EXPECT_THAT(client_->failure, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("loading")));
  engine_.SetReady(true);
  service_.Drain();
  EXPECT_THAT(service_.Readiness(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shutting down")));
}

TEST_F(GenerationServiceTest, EndAllFailsWhatRuns) {
  script_.waits = true;
  const auto stream = Start(Ask("x"));
  engine_.AwaitLive(1);
  service_.EndAll(absl::UnavailableError("the server is shutting down"));
  client_->ReadAll(*stream);
  EXPECT_THAT(client_->failure, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shutting down")));
  EXPECT_TRUE(service_.AwaitIdle(absl::Seconds(60)));
  EXPECT_EQ(engine_.num_cancelled(), 1);
}

TEST_F(GenerationServiceTest, TokenizeAgreesWithUsage) {
  const Prompt prompt = ChatPrompt{.messages = {{.role = "user", .content = "hi </think>"}}};
  const auto ids = service_.Tokenize(prompt);
  ASSERT_THAT(ids, IsOk());
  engine_.StartThread();
  const auto stream = Start({.prompts = {prompt}});
  client_->ReadAll(*stream);
  EXPECT_EQ(client_->usage.prompt_tokens, static_cast<int64_t>(ids->size()));
  EXPECT_EQ(engine_.submitted().front().prompt, *ids);
}

}  // namespace
}  // namespace tessera
