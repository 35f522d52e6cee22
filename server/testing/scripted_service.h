#pragma once

#include <spdlog/logger.h>
#include <spdlog/sinks/ringbuffer_sink.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fake_clock.h"
#include "gtest/gtest.h"
#include "server/metrics/access_log.h"
#include "server/metrics/server_metrics.h"
#include "server/session/generation_service.h"
#include "server/session/service_config.h"
#include "server/session/work_pool.h"
#include "server/testing/fake_engine.h"
#include "server/testing/test_tokenizer.h"

namespace tessera {

// A generation service whose engine says what the test has scripted. The tests of a transport put their server in front
// of it. One thread works on prompts, so that they are taken in the order in which they came.
class ScriptedServiceTest : public testing::Test {
 protected:
  explicit ScriptedServiceTest(std::string_view format = "r1", int64_t client_buffer_bytes_max = 64 << 10);

  // Nothing runs any more when the members of the derived class go.
  void TearDown() override;
  virtual void StopTransport() {}

  // Each request gets this answer from now on.
  void Says(std::string_view text, FinishReason finish = FinishReason::kStop);
  void AwaitNothingRuns();
  std::vector<std::string> AwaitAccessLines(size_t count);  // all so far
  void AwaitNoWork();                                       // no prompt waits or is worked on

  std::unique_ptr<const Tokenizer> tokenizer_ = MakeTestTokenizer();
  ChatFormat format_;
  FakeClock clock_;
  Script script_;
  FakeEngine engine_{FakeEngine::DefaultLimits(), [this](const Request&) { return script_; }};
  ServerMetrics metrics_{"model", engine_};
  std::shared_ptr<spdlog::sinks::ringbuffer_sink_mt> access_lines_ =
      std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(1024);
  AccessLog access_log_{std::make_shared<spdlog::logger>("access", access_lines_), clock_};
  WorkPool work_{1, 64};
  GenerationService service_;
};

}  // namespace tessera
