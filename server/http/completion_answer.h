#pragma once

#include <vector>

#include "server/http/answer_writer.h"
#include "server/http/logprobs_json.h"

namespace tessera {

// text_completion, streamed or whole.
class CompletionAnswer final : public AnswerWriter {
 public:
  // The tokenizer must outlive it.
  CompletionAnswer(const Tokenizer& tokenizer, AnswerHeader header);

  void OnStarted(const StartedEvent& started) override;
  Json Chunk(const ChoiceDelta& delta) override;
  Json UsageChunk(const Usage& usage) override;
  void Gather(ChoiceDelta delta) override;
  Json Whole(const Usage& usage) override;

 private:
  Json Envelope() const;
  Json Choice(const ChoiceDelta& delta, bool is_first);
  const std::vector<TokenId>* PromptOf(int32_t choice_index) const;

  const Tokenizer& tokenizer_;
  const AnswerHeader header_;
  std::vector<std::vector<TokenId>> prompt_ids_;  // [prompts]
  std::vector<bool> begun_;                       // [choices]
  std::vector<CompletionLogprobs> logprobs_;      // [choices]
  std::vector<ChoiceDelta> gathered_;             // [choices]
};

}  // namespace tessera
