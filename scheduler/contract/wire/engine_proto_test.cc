#include "scheduler/contract/wire/engine_proto.h"

#include <functional>
#include <limits>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera::wire {
namespace {

using testing::HasSubstr;

constexpr int32_t kVocab = 1000;
const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

Request FullRequest() {
  return {.id = {42},
          .prompt = {1, 2, 999},
          .generated = {4, 5},
          .sampling = {.temperature = 0.5F,
                       .top_k = 40,
                       .top_p = 0.9F,
                       .min_p = 0.05F,
                       .repetition_penalty = 1.1F,
                       .frequency_penalty = -0.5F,
                       .presence_penalty = 0.25F,
                       .seed = 0xFEDCBA9876543210ULL,
                       .logit_bias = {{3, -100.F}, {7, 1.5F}},
                       .num_logprobs = 5,
                       .num_prompt_logprobs = 0},
          .max_tokens = 17,
          .min_tokens = 2,
          .stop_tokens = {0, 8},
          .priority = -3,
          .deadline = kNow + absl::Seconds(9),
          .arrival = kNow - absl::Milliseconds(20)};
}

pb::Request FullMessage() {
  pb::Request message;
  ToProto(FullRequest(), kNow, message);
  return message;
}

TEST(EngineProtoTest, ARequestComesBackAsItWas) {
  const absl::StatusOr<Request> back = FromProto(FullMessage(), kVocab, kNow);
  ASSERT_THAT(back, IsOk());
  const Request sent = FullRequest();
  EXPECT_EQ(back->id, sent.id);
  EXPECT_EQ(back->prompt, sent.prompt);
  EXPECT_EQ(back->generated, sent.generated);
  EXPECT_EQ(back->sampling.temperature, sent.sampling.temperature);
  EXPECT_EQ(back->sampling.seed, sent.sampling.seed);
  EXPECT_EQ(back->sampling.logit_bias, sent.sampling.logit_bias);
  EXPECT_EQ(back->sampling.num_logprobs, 5);
  EXPECT_EQ(back->sampling.num_prompt_logprobs, 0);
  EXPECT_EQ(back->max_tokens, sent.max_tokens);
  EXPECT_EQ(back->min_tokens, sent.min_tokens);
  EXPECT_EQ(back->stop_tokens, sent.stop_tokens);
  EXPECT_EQ(back->priority, sent.priority);
  EXPECT_EQ(back->deadline, sent.deadline);
  EXPECT_EQ(back->arrival, sent.arrival);
}

TEST(EngineProtoTest, TimesAreKeptBetweenHostsWhoseClocksDiffer) {
  const absl::Time there = kNow + absl::Hours(1000);
  const absl::StatusOr<Request> back = FromProto(FullMessage(), kVocab, there);
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(back->deadline, there + absl::Seconds(9));
  EXPECT_EQ(back->arrival, there - absl::Milliseconds(20));
  Request endless = FullRequest();
  endless.deadline = absl::InfiniteFuture();
  endless.arrival = absl::InfinitePast();
  pb::Request message;
  ToProto(endless, kNow, message);
  EXPECT_EQ(FromProto(message, kVocab, there)->deadline, absl::InfiniteFuture());
  EXPECT_EQ(FromProto(message, kVocab, there)->arrival, there);
  message.set_timeout_us(std::numeric_limits<int64_t>::max());
  message.set_waited_us(std::numeric_limits<int64_t>::max());
  EXPECT_THAT(FromProto(message, kVocab, there), IsOk());
}

struct BadRequest {
  const char* field;
  std::function<void(pb::Request&)> change;
};

TEST(EngineProtoTest, EachBadFieldOfARequestIsNamed) {
  const std::vector<BadRequest> cases = {
      {"id", [](pb::Request& r) { r.set_id(-1); }},
      {"waited_us", [](pb::Request& r) { r.set_waited_us(-1); }},
      {"prompt", [](pb::Request& r) { r.clear_prompt(); }},
      {"prompt[1]", [](pb::Request& r) { r.set_prompt(1, kVocab); }},
      {"generated[0]", [](pb::Request& r) { r.set_generated(0, -1); }},
      {"generated", [](pb::Request& r) { r.set_max_tokens(2); }},
      {"max_tokens", [](pb::Request& r) { r.set_max_tokens(0); }},
      {"min_tokens", [](pb::Request& r) { r.set_min_tokens(18); }},
      {"stop_tokens[0]", [](pb::Request& r) { r.set_stop_tokens(0, kVocab); }},
      {"sampling.", [](pb::Request& r) { r.mutable_sampling()->set_temperature(std::nanf("")); }},
      {"sampling.", [](pb::Request& r) { r.mutable_sampling()->set_top_p(0); }},
      {"sampling.", [](pb::Request& r) { r.mutable_sampling()->add_logit_bias_tokens(1); }},
      {"sampling.", [](pb::Request& r) { r.clear_sampling(); }},
  };
  for (const BadRequest& bad : cases) {
    pb::Request message = FullMessage();
    bad.change(message);
    EXPECT_THAT(FromProto(message, kVocab, kNow), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(bad.field)));
  }
}

TokenBatch FullBatch() {
  TokenBatch batch;
  batch.requests.push_back(
      {.request = {1},
       .tokens = {10, 11},
       .logprobs = {{.token = {10, -0.5F}, .top = {{10, -0.5F}, {3, -2.F}}}, {.token = {11, -1.F}}},
       .prompt_logprobs = {{.token = {2, -3.F}}},
       .num_cached_tokens = 64,
       .started = kNow - absl::Seconds(1),
       .finish = FinishReason::kStop});
  batch.requests.push_back({.request = {2}, .tokens = {7}});
  batch.requests.push_back(
      {.request = {3}, .finish = FinishReason::kError, .status = absl::InternalError("the logits are not finite")});
  return batch;
}

pb::TokenBatch FullBatchMessage() {
  pb::TokenBatch message;
  ToProto(FullBatch(), kNow, message);
  return message;
}

TEST(EngineProtoTest, ABatchComesBackAsItWas) {
  const absl::StatusOr<TokenBatch> back = FromProto(FullBatchMessage(), kVocab, kNow);
  ASSERT_THAT(back, IsOk());
  ASSERT_EQ(back->requests.size(), 3U);
  const RequestTokens& first = back->requests[0];
  EXPECT_EQ(first.request.value, 1);
  EXPECT_EQ(first.tokens, (std::vector<TokenId>{10, 11}));
  ASSERT_EQ(first.logprobs.size(), 2U);
  EXPECT_EQ(first.logprobs[0].top[1].token, 3);
  EXPECT_EQ(first.logprobs[0].top[1].logprob, -2.F);
  EXPECT_EQ(first.prompt_logprobs[0].token.logprob, -3.F);
  EXPECT_EQ(first.num_cached_tokens, 64);
  EXPECT_EQ(first.started, kNow - absl::Seconds(1));
  EXPECT_EQ(first.finish, FinishReason::kStop);
  EXPECT_EQ(back->requests[1].finish, std::nullopt);
  EXPECT_EQ(back->requests[1].started, absl::InfinitePast());
  EXPECT_THAT(back->requests[2].status, StatusIs(absl::StatusCode::kInternal, HasSubstr("not finite")));
}

struct BadTokens {
  const char* field;
  std::function<void(pb::RequestTokens&)> change;
};

TEST(EngineProtoTest, EachBadFieldOfABatchIsNamed) {
  const std::vector<BadTokens> cases = {
      {"request", [](pb::RequestTokens& t) { t.set_request(-1); }},
      {"tokens[1]", [](pb::RequestTokens& t) { t.set_tokens(1, kVocab); }},
      {"num_cached_tokens", [](pb::RequestTokens& t) { t.set_num_cached_tokens(-1); }},
      {"logprobs", [](pb::RequestTokens& t) { t.mutable_logprobs()->RemoveLast(); }},
      {"logprobs[0]", [](pb::RequestTokens& t) { t.mutable_logprobs(0)->mutable_token()->set_logprob(std::nanf("")); }},
      {"prompt_logprobs[0]",
       [](pb::RequestTokens& t) { t.mutable_prompt_logprobs(0)->mutable_token()->set_token(-5); }},
      {"finish", [](pb::RequestTokens& t) { t.set_finish(static_cast<pb::FinishReason>(77)); }},
      {"status", [](pb::RequestTokens& t) { t.set_finish(pb::FINISH_REASON_ERROR); }},
      {"status", [](pb::RequestTokens& t) { t.mutable_status()->set_code(13); }},
  };
  for (const BadTokens& bad : cases) {
    pb::TokenBatch message = FullBatchMessage();
    bad.change(*message.mutable_requests(0));
    EXPECT_THAT(FromProto(message, kVocab, kNow), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(bad.field)));
    EXPECT_THAT(FromProto(message, kVocab, kNow),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("requests[0]")));
  }
}

TEST(EngineProtoTest, LimitsComeBackAndNonsenseIsRefused) {
  const EngineLimits limits{.context_tokens_max = 4096,
                            .cache_tokens_per_rank = 64000,
                            .vocab_size = kVocab,
                            .num_ranks = 4,
                            .block_tokens = 64,
                            .num_blocks_per_rank = 1000};
  pb::EngineLimits message;
  ToProto(limits, message);
  EXPECT_EQ(*FromProto(message), limits);
  message.set_num_ranks(0);
  EXPECT_THAT(FromProto(message), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("num_ranks")));
  EXPECT_THAT(FromProto(pb::EngineLimits()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("context")));
}

TEST(EngineProtoTest, AStatusComesBackAndNonsenseIsRefused) {
  EngineStatus status{.ready = true, .num_waiting = 1, .num_running = 2, .num_blocks_used = 3, .num_blocks_total = 4};
  status.num_steps = 5;
  status.num_waiting_tokens = 6;
  status.num_finished = {1, 2, 3, 4, 5};
  status.num_steps_by_tokens[13] = 9;
  status.last_progress = kNow - absl::Milliseconds(3);
  pb::EngineStatus message;
  ToProto(status, kNow, message);
  const absl::StatusOr<EngineStatus> back = FromProto(message, kNow);
  ASSERT_THAT(back, IsOk());
  EXPECT_TRUE(back->ready);
  EXPECT_EQ(back->num_running, 2);
  EXPECT_EQ(back->num_waiting_tokens, 6);
  EXPECT_EQ(back->num_finished, status.num_finished);
  EXPECT_EQ(back->num_steps_by_tokens, status.num_steps_by_tokens);
  EXPECT_EQ(back->last_progress, status.last_progress);
  pb::EngineStatus bad = message;
  bad.set_num_steps(-1);
  EXPECT_THAT(FromProto(bad, kNow), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("num_steps")));
  bad = message;
  bad.add_num_finished(1);
  EXPECT_THAT(FromProto(bad, kNow), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("num_finished")));
  bad = message;
  bad.set_reason(std::string(100'000, 'x'));
  EXPECT_LT(FromProto(bad, kNow)->reason.size(), 5000U);
}

}  // namespace
}  // namespace tessera::wire
