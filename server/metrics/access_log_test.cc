#include "server/metrics/access_log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/ringbuffer_sink.h>

#include <string>
#include <thread>
#include <vector>

#include "base/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class AccessLogTest : public testing::Test {
 protected:
  AccessLogTest() { logger_->set_pattern("%l %v"); }

  std::vector<std::string> Lines() const { return sink_->last_formatted(); }

  FakeClock clock_;
  std::shared_ptr<spdlog::sinks::ringbuffer_sink_mt> sink_ = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(16);
  std::shared_ptr<spdlog::logger> logger_ = std::make_shared<spdlog::logger>("access", sink_);
  AccessLog log_{logger_, clock_};
};

TEST_F(AccessLogTest, WritesALineWhenTheLastOneLetsGo) {
  std::shared_ptr<AccessRecord> transport = log_.Begin();
  transport->id = "r1";
  transport->client = "127.0.0.1:5";
  transport->method = "POST";
  transport->route = "/v1/completions";
  std::shared_ptr<AccessRecord> generation = transport;
  const absl::Time arrival = clock_.Now();
  clock_.Advance(absl::Milliseconds(1500));
  std::thread worker([&] {
    generation->summary = RequestSummary{.end = EndState::kLength,
                                         .num_prompt_tokens = 7,
                                         .num_generated_tokens = 3,
                                         .arrival = arrival,
                                         .started = arrival + absl::Microseconds(1250),
                                         .first_token = arrival + absl::Milliseconds(20)};
    generation = nullptr;
  });
  transport->status = "200";
  worker.join();
  EXPECT_THAT(Lines(), IsEmpty());
  transport = nullptr;
  EXPECT_THAT(Lines(), ElementsAre("info request id=r1 client=127.0.0.1:5 method=POST route=/v1/completions status=200 "
                                   "total_ms=1500.0 end=length prompt_tokens=7 completion_tokens=3 queue_ms=1.2 "
                                   "ttft_ms=20.0\n"));
}

TEST_F(AccessLogTest, NothingThatAClientSendsForgesAFieldOrALine) {
  log_.Begin()->id = "x status=200\nrequest \"\\\xC3";
  EXPECT_THAT(Lines(), ElementsAre("info request id=x?status?200?request???? client=- method=- route=- status=- "
                                   "total_ms=0.0\n"));
  log_.Begin()->route = std::string(1 << 20, 'x');
  EXPECT_LT(Lines().back().size(), 400U);
}

TEST_F(AccessLogTest, AsksOfProbesAreForDebugging) {
  log_.Begin()->is_probe = true;
  EXPECT_THAT(Lines(), IsEmpty());
  logger_->set_level(spdlog::level::debug);
  log_.Begin()->is_probe = true;
  EXPECT_EQ(Lines().size(), 1U);
}

TEST_F(AccessLogTest, WithoutALoggerNothingIsWritten) { EXPECT_EQ(AccessLog(nullptr, clock_).Begin()->status, ""); }

}  // namespace
}  // namespace tessera
