#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "scheduler/contract/token_batch.h"
#include "server/metrics/server_metrics.h"
#include "server/session/choice.h"
#include "server/session/event_queue.h"
#include "server/session/generate_request.h"
#include "server/session/generation_service.h"
#include "server/session/prompt_encoder.h"

namespace tessera {

// One client's request from its arrival to its end. Its state is touched on its strand only; Take and Cancel are for
// any thread. Ends exactly once, whoever ends it: the engine, a stop string, the client, a failure, a shutdown.
class Generation final : public GenerateStream, public std::enable_shared_from_this<Generation> {
 public:
  Generation(GenerationService& service, GenerateRequest request, std::weak_ptr<GenerateObserver> observer);

  void Start();
  void OnTokens(RequestTokens tokens);  // any thread
  void End(absl::Status status);        // any thread; fails it unless it has ended

  std::vector<GenerateEvent> Take() override { return events_.Take(); }
  bool IsCut() const override { return is_cut_; }
  void Cancel() override;

 private:
  struct Prepared {
    std::vector<EncodedPrompt> prompts;
    std::vector<Request> requests;  // [prompts · n]
  };
  struct ChoiceState {
    std::unique_ptr<Choice> choice;
    RequestId id;
    absl::Time last_tokens = absl::InfinitePast();
  };

  void PrepareAndSubmit();  // on a thread of the work pool
  absl::StatusOr<Prepared> Prepare() const;
  void Submit(Prepared prepared);
  absl::Status SubmitAll(std::vector<Request> requests);
  std::unique_ptr<Choice> MakeChoice(const EncodedPrompt& prompt, int32_t choice_index) const;
  void HandleTokens(RequestTokens tokens);
  void MeasureGap(ChoiceState& state, absl::Time now);
  void HandleFinish(ChoiceState& state, const ChoiceDelta& delta);
  void CancelEngine();
  void Fail(absl::Status status, EndState end);
  void Finish();
  bool Push(GenerateEvent event);
  void Conclude(EndState end);

  GenerationService& service_;
  const GenerateRequest request_;
  const std::weak_ptr<GenerateObserver> observer_;
  GenerationService::Strand strand_;
  EventQueue events_;
  std::atomic<bool> is_cut_ = false;
  std::atomic<bool> is_cancelled_ = false;  // seen before long work begins

  // On the strand:
  bool has_ended_ = false;
  std::vector<ChoiceState> choices_;
  size_t num_finished_ = 0;
  ChoiceFinish first_finish_ = ChoiceFinish::kStop;
  RequestSummary summary_;
};

}  // namespace tessera
