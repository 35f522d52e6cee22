#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "scheduler/contract/worker_port.h"
#include "scheduler/testing/fake_model.h"

namespace tessera {

struct FakeWorkerOptions {
  WorkerLimits limits = {.num_ranks = 1,
                         .num_blocks = 64,
                         .block_tokens = 4,
                         .step_tokens_max = 64,
                         .sequences_max = 64,
                         .context_tokens_max = 256,
                         .vocab_size = 1000};
  FakeModelOptions model;                            // vocab_size is taken from `limits`
  int64_t break_at_step = 0;                         // Receive fails for this step; 0: never
  bool records_plans = true;                         // off for benchmarks and long runs
  bool tracks_contents = true;                       // of cache blocks; off for benchmarks of large caches
  std::function<void(int64_t step)> before_receive;  // called at the start of Receive, to pace or to move a clock
  std::function<absl::Duration(const StepPlan&)> duration;  // of a step on a rank; none: zero
};

// A worker group without tensors: keeps sequences as workers do and makes tokens and drafts by FakeModel. Aborts when a
// plan breaks the contract, or when a sequence finds in its blocks anything but its own history. A step is executed
// when it is submitted; nothing can tell that from a device that runs it later, because steps run in order. Used by one
// thread, like every WorkerPort.
class FakeWorker final : public WorkerPort {
 public:
  explicit FakeWorker(FakeWorkerOptions options = {});

  const WorkerLimits& limits() const override { return options_.limits; }
  void Submit(std::vector<StepPlan> plans) override;
  absl::StatusOr<std::vector<StepResult>> Receive() override;

  const FakeModel& model() const { return model_; }
  int64_t num_steps() const { return last_step_; }
  int64_t num_tokens_run() const { return num_tokens_run_; }
  int64_t num_wasted_slices() const { return num_wasted_slices_; }
  int64_t num_cached_tokens() const { return num_cached_tokens_; }  // that added sequences did not have to compute
  size_t num_sequences(size_t rank) const { return ranks_[rank].sequences.size(); }
  size_t num_blocks_owned(size_t rank) const;

  // The plans of step s at [s − 1], in rank order.
  const std::vector<std::vector<StepPlan>>& plans() const { return plans_; }

 private:
  struct Sequence {
    AddedSequence added;  // `generated` grows
    std::vector<BlockId> blocks;
    int64_t num_known = 0;        // prompt and generated tokens when it was added
    int64_t num_run = 0;          // positions computed
    uint64_t history_hash = 0;    // of their tokens
    std::vector<TokenId> drafts;  // of the tokens after those
    int64_t last_slice_step = 0;
    int64_t last_blocks_step = 0;
    bool ended = false;
  };
  // What a position of a block holds: stands for the latents of all layers.
  struct Content {
    uint64_t history_hash = 0;  // of all tokens up to the one that was computed here
    bool is_followed = false;   // the token after it was computed too, as the MTP module's latent needs
  };
  struct Rank {
    absl::flat_hash_map<SequenceId, Sequence> sequences;
    std::vector<int32_t> num_owners;  // [num_blocks]; 0: free
    std::vector<Content> contents;    // [num_blocks, block_tokens]
    bool prefill_seen = false;        // in this step
    int32_t draft_tokens = 0;         // in this step
  };

  void CheckStep(const std::vector<StepPlan>& plans) const;
  void Free(Rank& rank, SequenceId id);
  void Add(Rank& rank, const AddedSequence& added);
  void AppendBlocks(Rank& rank, const AppendedBlocks& appended);
  void RunSlice(Rank& rank, const Slice& slice, StepResult& result);
  void RunPrefill(Rank& rank, Sequence& sequence, const Slice& slice, SequenceResult& result);
  void RunDecode(Rank& rank, Sequence& sequence, const Slice& slice, SequenceResult& result,
                 std::vector<DraftCounts>& drafts);
  void RunRow(Rank& rank, Sequence& sequence, TokenId token);
  Content* ContentAt(Rank& rank, const Sequence& sequence, int64_t position);  // null: not tracked
  void CheckCachedTokens(Rank& rank, const Sequence& sequence);
  void CheckHistory(Rank& rank, const Sequence& sequence);
  int64_t NumPositions(const Sequence& sequence) const;  // that it may ever compute
  int64_t NumSlots(const Sequence& sequence) const;      // of its blocks
  void AddPromptLogprobs(const Sequence& sequence, int64_t num_tokens, SequenceResult& result) const;
  FakeContext ContextOf(const Sequence& sequence) const;
  TokenId Sample(Sequence& sequence, SequenceResult& result) const;
  void Draft(Sequence& sequence, int32_t num_drafts) const;

  FakeWorkerOptions options_;
  FakeModel model_;
  std::vector<Rank> ranks_;
  std::deque<std::vector<StepResult>> under_way_;  // oldest first
  std::vector<std::vector<StepPlan>> plans_;
  absl::flat_hash_map<SequenceId, bool> ids_seen_;  // an id names one run of one request for ever
  int64_t last_step_ = 0;
  int64_t num_tokens_run_ = 0;  // rejected drafts included
  int64_t num_cached_tokens_ = 0;
  int64_t num_wasted_slices_ = 0;
  bool broken_ = false;
};

}  // namespace tessera
