#include "scheduler/contract/wire/hello_proto.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status_matchers.h"

namespace tessera::wire {
namespace {

using ::testing::HasSubstr;

WorkerHello Hello() {
  return {.build = "0.1.0",
          .rank = 3,
          .num_ranks = 4,
          .model_fingerprint = "0123456789abcdef",
          .settings = {{"precision", "bf16"}, {"isa", "avx2"}},
          .limits = {.num_ranks = 4,
                     .num_blocks = 10,
                     .block_tokens = 64,
                     .step_tokens_max = 128,
                     .sequences_max = 16,
                     .context_tokens_max = 1024,
                     .vocab_size = 1000,
                     .draft_tokens_max = 1}};
}

pb::WorkerHello Message() {
  pb::WorkerHello message;
  ToProto(Hello(), message);
  return message;
}

TEST(HelloProtoTest, AWorkersHelloIsTheSameAfterItsJourney) {
  const absl::StatusOr<WorkerHello> got = FromProto(Message());
  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->build, "0.1.0");
  EXPECT_EQ(got->rank, 3);
  EXPECT_EQ(got->num_ranks, 4);
  EXPECT_EQ(got->model_fingerprint, Hello().model_fingerprint);
  EXPECT_EQ(got->settings, Hello().settings);
  EXPECT_EQ(got->limits.num_blocks, 10);
  EXPECT_EQ(got->limits.block_tokens, 64);
  EXPECT_EQ(got->limits.step_tokens_max, 128);
  EXPECT_EQ(got->limits.sequences_max, 16);
  EXPECT_EQ(got->limits.context_tokens_max, 1024);
  EXPECT_EQ(got->limits.vocab_size, 1000);
  EXPECT_EQ(got->limits.draft_tokens_max, 1);
}

TEST(HelloProtoTest, ASchedulersHelloMayLeaveTheRankOpen) {
  pb::SchedulerHello message;
  ToProto(SchedulerHello{.build = "b", .num_ranks = 4}, message);
  EXPECT_FALSE(FromProto(message)->rank.has_value());
  ToProto(SchedulerHello{.build = "b", .num_ranks = 4, .rank = 0}, message);
  EXPECT_EQ(FromProto(message)->rank, 0);
}

TEST(HelloProtoTest, AnotherProtocolVersionIsRefusedBeforeAnythingElseIsRead) {
  pb::WorkerHello worker;
  worker.set_protocol_version(2);
  worker.set_build("9.9");
  EXPECT_THAT(FromProto(worker), StatusIs(absl::StatusCode::kFailedPrecondition,
                                          HasSubstr("protocol_version: got 2 (build 9.9), wanted 1")));
  EXPECT_THAT(FromProto(pb::SchedulerHello()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("protocol_version: got 0")));
}

TEST(HelloProtoTest, SizesThatNoWorkerHasAreRefused) {
  pb::WorkerHello message = Message();
  message.set_rank(4);
  EXPECT_THAT(FromProto(message),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("rank: got 4, wanted 0 to 3")));
  message = Message();
  message.set_model_fingerprint("short");
  EXPECT_THAT(FromProto(message),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("model_fingerprint: bytes: got 5, wanted 16")));
  message = Message();
  message.mutable_limits()->set_block_tokens(0);
  EXPECT_THAT(FromProto(message),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limits.block_tokens: got 0, wanted 1")));
  message = Message();
  message.mutable_limits()->set_draft_tokens_max(5);
  EXPECT_THAT(FromProto(message),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limits.draft_tokens_max: got 5, wanted 0 to 4")));
  message = Message();
  message.mutable_settings(0)->set_value("two\nlines");
  EXPECT_THAT(FromProto(message),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("settings: value: got a control character")));
}

}  // namespace
}  // namespace tessera::wire
