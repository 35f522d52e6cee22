#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "scheduler/cache/block_key.h"
#include "scheduler/contract/request.h"
#include "scheduler/contract/worker_port.h"
#include "scheduler/queue/inbox.h"

namespace tessera {

// How the engine loop of one worker group behaves. 0 in the fields that say so means: what the worker allows.
struct EngineConfig {
  int32_t queue_requests_max = 4096;            // that wait to run
  int64_t queue_tokens_max = int64_t{1} << 24;  // prompt and generated tokens of the waiting requests
  int32_t step_tokens_max = 0;                  // tokens one rank runs in one step; 0: WorkerLimits::step_tokens_max
  int32_t prefill_chunk_tokens_max = 0;         // tokens of one prompt in one step; 0: step_tokens_max
  int32_t running_max = 0;                      // sequences that run on one rank; 0: WorkerLimits::sequences_max
  double free_blocks_min_fraction = 0.01;       // of a rank's blocks: kept free when a sequence starts beside others
  int32_t preemptions_max = 3;                  // of one request; then it gets all its blocks before it runs again
  int32_t draft_tokens = -1;       // guessed for a sequence in one step; −1: WorkerLimits::draft_tokens_max; 0: none
  bool adapts_drafts = true;       // drafts only at batch sizes at which it was measured to pay
  bool has_prefix_cache = true;    // prompts that begin alike share cache blocks
  uint64_t prefix_cache_salt = 0;  // part of every key; a secret one keeps others from aiming at equal keys
  int32_t prefix_cache_key_bits = 128;  // fewer only to test that equal keys of different texts do no harm
};

// Names the field, what it got and what it wanted.
absl::Status Validate(const EngineConfig& config, const WorkerLimits& limits);

// What one rank may do: the configuration with the worker's limits filled in. Requires: Validate() is OK.
struct RankPolicy {
  int32_t num_blocks = 0;
  int32_t block_tokens = 0;
  int32_t step_tokens_max = 0;
  int32_t prefill_chunk_tokens_max = 0;
  int32_t running_max = 0;  // ≤ step_tokens_max, so that every running sequence can decode in every step
  int32_t free_blocks_min = 0;
  int32_t preemptions_max = 0;
  std::optional<BlockKeyOptions> block_keys;  // none: no prefix cache
};
RankPolicy ToRankPolicy(const EngineConfig& config, const WorkerLimits& limits);
QueueLimits ToQueueLimits(const EngineConfig& config);
int32_t ToDraftTokens(const EngineConfig& config, const WorkerLimits& limits);

// Refuses with OutOfRange a request that can never fit: prompt + max_tokens beyond the context or beyond the cache
// blocks of one rank. Nothing is clamped here: what max_tokens means when a client leaves it out is the server's to
// decide.
absl::Status CheckFits(const Request& request, const WorkerLimits& limits);

}  // namespace tessera
