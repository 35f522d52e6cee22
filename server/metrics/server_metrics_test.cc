#include "server/metrics/server_metrics.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/testing/fake_engine.h"

namespace tessera {
namespace {

using testing::HasSubstr;

class ServerMetricsTest : public testing::Test {
 protected:
  FakeEngine engine_{FakeEngine::DefaultLimits(), [](const Request&) { return Script{.waits = true}; }};
  ServerMetrics metrics_{"demo", engine_};
};

TEST_F(ServerMetricsTest, ShowsTheEngineUnderBothNamesWithoutTraffic) {
  ASSERT_TRUE(engine_.Submit({.id = {1}, .prompt = {1, 2, 3}, .max_tokens = 5}).ok());
  const std::string text = metrics_.Scrape();
  for (const char* line :
       {"tessera_requests_waiting{engine=\"0\",model_name=\"demo\"} 1",
        "vllm:num_requests_waiting{engine=\"0\",model_name=\"demo\"} 1",
        "vllm:num_requests_running{engine=\"0\",model_name=\"demo\"} 0",
        "vllm:kv_cache_usage_perc{",
        "vllm:cache_config_info{",
        "block_size=\"64\"",
        "num_gpu_blocks=\"100\"",
        "vllm:prefix_cache_queries_total",
        "vllm:prefix_cache_hits_total",
        "vllm:num_preemptions_total",
        "vllm:prompt_tokens_total",
        "vllm:generation_tokens_total",
        "vllm:corrupted_requests_total",
        "vllm:iteration_tokens_total_bucket",
        "vllm:request_success_total{",
        "finished_reason=\"length\"",
        "tessera_drafts_total",
        "tessera_draft_tokens_total",
        "tessera_draft_tokens_accepted_total{engine=\"0\",model_name=\"demo\",position=\"3\"} 0",
        "tessera_prefix_cache_collisions_total",
        "vllm:spec_decode_num_drafts_total",
        "vllm:spec_decode_num_draft_tokens_total",
        "vllm:spec_decode_num_accepted_tokens_total",
        "vllm:spec_decode_num_accepted_tokens_per_pos_total{engine=\"0\",model_name=\"demo\",position=\"0\"} 0"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST_F(ServerMetricsTest, CountsEachRequestInOneEndState) {
  metrics_.OnRequestStarted();
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("tessera_requests_active{engine=\"0\",model_name=\"demo\"} 1"));
  const absl::Time arrival = absl::FromUnixSeconds(100);
  metrics_.OnRequestEnded({.end = EndState::kLength,
                           .is_admitted = true,
                           .num_prompt_tokens = 7,
                           .num_generated_tokens = 3,
                           .arrival = arrival,
                           .started = arrival + absl::Seconds(1),
                           .first_token = arrival + absl::Seconds(3),
                           .ended = arrival + absl::Seconds(7)});
  const std::string text = metrics_.Scrape();
  for (const char* line : {"tessera_requests_active{engine=\"0\",model_name=\"demo\"} 0",
                           "tessera_requests_ended_total{engine=\"0\",model_name=\"demo\",end=\"length\"} 1",
                           "tessera_requests_ended_total{engine=\"0\",model_name=\"demo\",end=\"stop\"} 0",
                           "vllm:request_success_total{engine=\"0\",model_name=\"demo\",finished_reason=\"length\"} 1",
                           "vllm:time_to_first_token_seconds_sum{engine=\"0\",model_name=\"demo\"} 3",
                           "vllm:e2e_request_latency_seconds_sum{engine=\"0\",model_name=\"demo\"} 7",
                           "vllm:request_queue_time_seconds_sum{engine=\"0\",model_name=\"demo\"} 1",
                           "vllm:request_prompt_tokens_sum{engine=\"0\",model_name=\"demo\"} 7",
                           "vllm:request_generation_tokens_sum{engine=\"0\",model_name=\"demo\"} 3"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST_F(ServerMetricsTest, KeepsRefusedRequestsOutOfTheLatencies) {
  metrics_.OnRequestStarted();
  metrics_.OnRequestEnded({.end = EndState::kRefused});
  const std::string text = metrics_.Scrape();
  EXPECT_THAT(text, HasSubstr("tessera_requests_ended_total{engine=\"0\",model_name=\"demo\",end=\"refused\"} 1"));
  EXPECT_THAT(text, HasSubstr("vllm:e2e_request_latency_seconds_count{engine=\"0\",model_name=\"demo\"} 0"));
}

}  // namespace
}  // namespace tessera
