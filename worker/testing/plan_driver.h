#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "scheduler/contract/worker_port.h"

namespace tessera {

// For tests: the smallest scheduler that can drive a WorkerPort. It plans a step while the one before runs, as the real
// one does, so that plans for sequences that have just ended occur too. Blocks are never reused.
class PlanDriver {
 public:
  struct Output {
    std::vector<TokenId> tokens;
    std::vector<PositionLogprobs> logprobs;
    std::vector<PositionLogprobs> prompt_logprobs;
    std::optional<FinishReason> finish;
    absl::Status status;
    std::vector<BlockId> blocks;  // of its rank, that it was given
  };

  // Known tokens run in slices of at most `chunk`. Step n drafts draft_tokens[n % size] tokens; none given: 0.
  PlanDriver(WorkerPort& port, int32_t chunk, std::vector<int32_t> draft_tokens = {});

  // The sequence joins the step after next, on this rank. `cached_blocks` hold its first num_cached_tokens.
  void Add(int32_t rank, AddedSequence sequence, std::vector<BlockId> cached_blocks = {});

  // Runs until every sequence has ended, or until the group breaks. Outputs are those of all sequences so far.
  absl::Status RunToEnd();

  const Output& output(SequenceId id) const { return outputs_.at(id); }
  int64_t num_steps() const { return step_; }
  const std::vector<DraftCounts>& drafts() const { return drafts_; }  // by position, of all steps so far

 private:
  struct Planned {
    AddedSequence sequence;
    int32_t rank = 0;
    bool added = false;
    int32_t num_known = 0;      // prompt and `generated`
    int32_t num_run = 0;        // of the known tokens, in planned steps
    int32_t num_received = 0;   // sampled tokens
    int32_t num_under_way = 0;  // slices that sample and whose result is not there
    std::vector<BlockId> blocks;
    size_t num_blocks_sent = 0;
  };

  std::vector<StepPlan> NextPlans();
  void PlanSlice(Planned& planned, StepPlan& plan);
  // Tokens of the sequence's next slice, at most `room`, and how many of its tokens the cache must hold then.
  std::pair<int32_t, int32_t> NextSlice(Planned& planned, int32_t room) const;
  void CoverWithBlocks(Planned& planned, int32_t num_tokens, StepPlan& plan);
  absl::Status Receive();
  void Receive(const SequenceResult& result);

  WorkerPort& port_;
  const int32_t chunk_;
  const std::vector<int32_t> draft_tokens_;
  const int32_t draft_tokens_max_;
  int64_t step_ = 0;
  std::vector<int32_t> next_block_;  // [ranks]
  std::vector<Planned> running_;
  std::vector<std::pair<SequenceId, int32_t>> ended_;  // and their rank, to be freed by the next plan
  std::map<SequenceId, Output> outputs_;
  std::vector<DraftCounts> drafts_;
};

}  // namespace tessera
