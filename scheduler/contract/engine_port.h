#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "scheduler/contract/finish_reason.h"
#include "scheduler/contract/request.h"
#include "scheduler/contract/step_plan.h"
#include "scheduler/contract/token_batch.h"

namespace tessera {

// What a group can do; fixed once it is ready.
struct EngineLimits {
  int32_t context_tokens_max = 0;     // prompt + generated tokens of one request
  int64_t cache_tokens_per_rank = 0;  // a request lives on one rank: prompt + max_tokens must fit here too
  int32_t vocab_size = 0;
  int32_t num_ranks = 0;
  int32_t block_tokens = 0;
  int32_t num_blocks_per_rank = 0;
  bool has_prefix_cache = false;  // prompts that begin alike share blocks of block_tokens on a rank

  friend bool operator==(const EngineLimits&, const EngineLimits&) = default;
};

// Upper bounds of EngineStatus::num_steps_by_tokens: the buckets of vLLM's iteration_tokens_total histogram.
inline constexpr std::array<int64_t, 13> kStepTokensBounds = {1,   8,    16,   32,   64,   128,  256,
                                                              512, 1024, 2048, 4096, 8192, 16384};

// A snapshot of what a group is doing. Counters only grow.
struct EngineStatus {
  bool ready = false;       // a real forward pass has succeeded and nothing is broken
  std::string reason;       // why it is not ready
  int32_t num_waiting = 0;  // requests accepted and not running
  int32_t num_running = 0;
  int64_t num_blocks_used = 0;  // over all ranks
  int64_t num_blocks_total = 0;
  int64_t num_steps = 0;
  int64_t num_preemptions = 0;
  int64_t num_prompt_tokens = 0;  // computed, recomputed ones not included
  int64_t num_generated_tokens = 0;
  int64_t num_cached_prompt_tokens = 0;     // found in the prefix cache when a request first started
  int64_t num_prefix_cache_queries = 0;     // prompt tokens looked up in the prefix cache, at every start
  int64_t num_prefix_cache_hits = 0;        // of those, tokens found
  int64_t num_prefix_cache_collisions = 0;  // look-ups whose key was equal and whose tokens were not
  int64_t num_drafts = 0;                   // sequences' drafts verified, of any length
  int64_t num_draft_tokens = 0;             // in them
  std::array<int64_t, kDraftTokensMax> num_accepted_by_position{};  // of those: [0] the first tokens of drafts …
  int64_t num_failed_numeric = 0;                         // requests ended because their logits were not finite
  int64_t num_waiting_tokens = 0;                         // prompt and generated tokens of the waiting requests
  int64_t num_refused = 0;                                // Submit calls that returned an error
  std::array<int64_t, kNumFinishReasons> num_finished{};  // by FinishReason
  int64_t num_step_tokens = 0;                            // run by all steps on all ranks
  // Steps by the tokens they ran on all ranks; the last count is of those above all bounds.
  std::array<int64_t, kStepTokensBounds.size() + 1> num_steps_by_tokens{};
  absl::Time last_progress = absl::InfinitePast();  // end of the last step
};

// Receives what each step brought. Called on the engine's thread, in step order: must not block, throw or call back.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  virtual void OnTokens(TokenBatch batch) = 0;
};

// The server's view of one worker group. All methods are thread-safe and return at once.
class EnginePort {
 public:
  virtual ~EnginePort() = default;

  // Prices the request and queues it. From then on the sink gets its tokens and exactly one finish. Errors, none of
  // which leaves anything behind: InvalidArgument (names the field), OutOfRange (it can never fit; the message has the
  // numbers), ResourceExhausted (the queue is full: try later), Unavailable (draining or broken), AlreadyExists (id).
  virtual absl::Status Submit(Request request) = 0;

  // Ends a request with kCancelled within a step; does nothing if it has ended or is not known.
  virtual void Cancel(RequestId id) = 0;

  virtual EngineLimits limits() const = 0;
  virtual EngineStatus Status() const = 0;

  // Refuses new requests from now on (Unavailable); accepted ones run to their end.
  virtual void Drain() = 0;
};

}  // namespace tessera
