#include "server/testing/scripted_service.h"

#include <thread>

#include "absl/time/time.h"

namespace tessera {

ScriptedServiceTest::ScriptedServiceTest(std::string_view format, int64_t client_buffer_bytes_max)
    : format_(MakeTestChatFormat(*tokenizer_, format)),
      service_({.eos_tokens = {*tokenizer_->eos_id()}, .client_buffer_bytes_max = client_buffer_bytes_max}, *tokenizer_,
               format_, engine_, clock_, metrics_, work_) {
  access_lines_->set_pattern("%v");
  engine_.SetSink(&service_);
}

void ScriptedServiceTest::TearDown() {
  engine_.StopThread();
  StopTransport();
  work_.Stop();  // its jobs use the service
}

void ScriptedServiceTest::Says(std::string_view text, FinishReason finish) {
  script_ = {.tokens = Spell(*tokenizer_, text), .finish = finish};
  if (finish == FinishReason::kStop) script_.tokens.push_back(*tokenizer_->eos_id());
}

void ScriptedServiceTest::AwaitNothingRuns() {
  engine_.AwaitLive(0);
  ASSERT_TRUE(service_.AwaitIdle(absl::Seconds(60)));
}

std::vector<std::string> ScriptedServiceTest::AwaitAccessLines(size_t count) {
  while (access_lines_->last_formatted().size() < count) std::this_thread::yield();
  return access_lines_->last_formatted();
}

void ScriptedServiceTest::AwaitNoWork() {
  while (work_.num_jobs() > 0) std::this_thread::yield();
}

}  // namespace tessera
