#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "base/ids.h"
#include "scheduler/contract/token_batch.h"

namespace tessera {

// Why a choice ended, as clients are told.
enum class ChoiceFinish { kStop, kLength, kToolCalls };
std::string_view ToString(ChoiceFinish finish);

// The engine has all of the request. Always the first event, unless it failed.
struct StartedEvent {
  int64_t num_prompt_tokens = 0;                 // of all prompts
  std::vector<std::vector<TokenId>> prompt_ids;  // [prompts]; with return_token_ids, or to echo with logprobs
};

// A part of a tool call. The first part of a call has its id and name and no arguments.
struct ToolCallDelta {
  int index = 0;
  std::string id;
  std::string name;
  std::string arguments;  // appended to what came before

  friend bool operator==(const ToolCallDelta&, const ToolCallDelta&) = default;
};

// What one step brought to one choice. The parts of all its deltas joined are the whole answer.
struct ChoiceDelta {
  int32_t choice_index = 0;  // prompt index · n + choice of the prompt
  std::string text;
  std::string reasoning;
  std::vector<ToolCallDelta> tool_calls;
  std::vector<TokenId> token_ids;                 // with return_token_ids
  std::vector<PositionLogprobs> logprobs;         // of every generated token, a stop token included; all finite
  std::vector<PositionLogprobs> prompt_logprobs;  // of all prompt tokens but the first, in one delta
  std::optional<ChoiceFinish> finish;             // in the last delta of the choice
  std::optional<std::string> matched_stop;        // the stop string that ended it
  std::optional<TokenId> matched_stop_token;      // the end-of-sequence or stop token that ended it

  bool HasContent() const {
    return !text.empty() || !reasoning.empty() || !tool_calls.empty() || !token_ids.empty() || !logprobs.empty() ||
           !prompt_logprobs.empty() || finish.has_value();
  }
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t reasoning_tokens = 0;  // part of completion_tokens
};

// All choices have ended. The last event of a request that did not fail.
struct DoneEvent {
  Usage usage;
};

// The request failed; nothing comes after. As the first event it means that nothing was generated.
struct FailedEvent {
  absl::Status status;
};

using GenerateEvent = std::variant<StartedEvent, ChoiceDelta, DoneEvent, FailedEvent>;

}  // namespace tessera
