#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "base/ids.h"
#include "server/chat/chat_format.h"
#include "server/chat/chat_message.h"
#include "server/metrics/access_log.h"

namespace tessera {

struct ChatPrompt {
  std::vector<ChatMessage> messages;
  std::vector<ToolDefinition> tools;
  std::optional<bool> thinking;  // nullopt: the server's default
  bool continue_final_message = false;
  bool add_generation_prompt = true;
  bool uses_tools = true;  // tool_choice none: false
};

struct TextPrompt {
  std::string text;
  std::optional<bool> add_special_tokens;  // nullopt: the checkpoint's default
};

struct TokenPrompt {
  std::vector<TokenId> ids;
};

using Prompt = std::variant<ChatPrompt, TextPrompt, TokenPrompt>;

// Sampling as clients ask for it; nullopt takes the server's default.
struct SamplingOptions {
  std::optional<float> temperature;
  std::optional<float> top_p;
  std::optional<int32_t> top_k;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  float frequency_penalty = 0;
  float presence_penalty = 0;
  std::optional<int64_t> seed;  // nullopt: a new one for each call
  std::vector<std::pair<TokenId, float>> logit_bias;
};

// One call of a client, whatever the transport: its fields have the names of the HTTP API. Nothing in it is trusted.
struct GenerateRequest {
  std::string id;     // for logs and answers
  std::string model;  // empty: the one that is served
  std::vector<Prompt> prompts;
  SamplingOptions sampling;
  std::optional<int64_t> max_tokens;  // nullopt: as many as fit; 0 only with echo
  int64_t min_tokens = 0;
  std::vector<std::string> stop;
  std::vector<TokenId> stop_token_ids;
  bool ignore_eos = false;
  int32_t n = 1;                           // choices of each prompt
  std::optional<int32_t> logprobs;         // 0: of each sampled token; k: and of the k likeliest
  std::optional<int32_t> prompt_logprobs;  // the same for the prompt's tokens but the first
  bool echo = false;
  int32_t priority = 0;
  bool return_token_ids = false;
  absl::Time arrival = absl::InfinitePast();
  absl::Time deadline = absl::InfiniteFuture();
  std::shared_ptr<AccessRecord> access;  // learns how the request ended; null: nobody asks
};

}  // namespace tessera
