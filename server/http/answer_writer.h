#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/limits/json_parser.h"
#include "server/session/generate_event.h"
#include "server/tokenizer/tokenizer.h"

namespace tessera {

// What is the same in all parts of one answer.
struct AnswerHeader {
  std::string id;
  int64_t created = 0;  // Unix seconds
  std::string model;
  std::string system_fingerprint;
  int32_t num_choices = 1;
  int32_t choices_per_prompt = 1;
  bool include_usage = false;
  bool has_logprobs = false;
  bool echo = false;
  bool return_token_ids = false;
};

// Writes the events of one request in the form of an API: piece by piece for a stream, or gathered into one document.
// The text of both is the same. Not thread-safe.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  virtual void OnStarted(const StartedEvent& started) = 0;

  // One event of the stream as JSON.
  virtual Json Chunk(const ChoiceDelta& delta) = 0;
  virtual Json UsageChunk(const Usage& usage) = 0;

  // For the whole document.
  virtual void Gather(ChoiceDelta delta) = 0;
  virtual Json Whole(const Usage& usage) = 0;
};

// As one line: never a newline in it.
std::string Dump(const Json& json);

// {prompt_tokens, completion_tokens, total_tokens, …} as OpenAI's and DeepSeek's clients read it.
Json UsageJson(const Usage& usage);

// The gathered parts of one choice.
void AppendDelta(ChoiceDelta delta, ChoiceDelta& whole);

}  // namespace tessera
