#pragma once

#include <vector>

#include "server/http/answer_writer.h"

namespace tessera {

// chat.completion and chat.completion.chunk.
class ChatAnswer final : public AnswerWriter {
 public:
  // The tokenizer must outlive it.
  ChatAnswer(const Tokenizer& tokenizer, AnswerHeader header);

  void OnStarted(const StartedEvent& started) override;
  Json Chunk(const ChoiceDelta& delta) override;
  Json UsageChunk(const Usage& usage) override;
  void Gather(ChoiceDelta delta) override;
  Json Whole(const Usage& usage) override;

 private:
  Json Envelope(const char* object) const;
  void AddExtras(const ChoiceDelta& delta, Json& choice) const;

  const Tokenizer& tokenizer_;
  const AnswerHeader header_;
  std::vector<TokenId> prompt_ids_;
  std::vector<bool> role_sent_;        // [choices]
  std::vector<ChoiceDelta> gathered_;  // [choices]
};

}  // namespace tessera
