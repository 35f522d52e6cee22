#include "worker/testing/plan_driver.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

template <typename T>
void Append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

PlanDriver::PlanDriver(WorkerPort& port, int32_t chunk)
    : port_(port), chunk_(chunk), next_block_(static_cast<size_t>(port.limits().num_ranks)) {}

void PlanDriver::Add(int32_t rank, AddedSequence sequence) {
  outputs_[sequence.sequence] = {};
  const auto num_tokens = static_cast<int32_t>(sequence.prompt.size() + sequence.generated.size());
  running_.push_back({.sequence = std::move(sequence), .rank = rank, .num_tokens = num_tokens});
}

absl::Status PlanDriver::RunToEnd() {
  int under_way = 0;
  while (!running_.empty()) {
    port_.Submit(NextPlans());
    if (++under_way < 2) continue;
    TESSERA_RETURN_IF_ERROR(Receive());
    --under_way;
  }
  for (; under_way > 0; --under_way) TESSERA_RETURN_IF_ERROR(Receive());
  return absl::OkStatus();
}

std::vector<StepPlan> PlanDriver::NextPlans() {
  ++step_;
  std::vector<StepPlan> plans(next_block_.size());
  for (const auto& [id, rank] : ended_) plans[static_cast<size_t>(rank)].freed.push_back(id);
  ended_.clear();
  for (Planned& planned : running_) PlanSlice(planned, plans[static_cast<size_t>(planned.rank)]);
  std::vector<int32_t> tokens_per_rank;
  for (const StepPlan& plan : plans) {
    int32_t count = 0;
    for (const Slice& slice : plan.slices) count += slice.num_tokens;
    tokens_per_rank.push_back(count);
  }
  for (StepPlan& plan : plans) {
    plan.step = step_;
    plan.tokens_per_rank = tokens_per_rank;
  }
  return plans;
}

void PlanDriver::PlanSlice(Planned& planned, StepPlan& plan) {
  int32_t room = port_.limits().step_tokens_max;
  for (const Slice& slice : plan.slices) room -= slice.num_tokens;
  const int32_t left = std::min(planned.num_tokens - planned.num_run, room);
  if (left == 0) return;  // no room, or max_tokens are planned and the result is on its way
  if (!planned.added) plan.added.push_back(planned.sequence);
  planned.added = true;
  const int32_t count = std::min(left, chunk_);
  planned.num_run += count;
  AppendedBlocks blocks{.sequence = planned.sequence.sequence};
  const int32_t block_tokens = port_.limits().block_tokens;
  for (; planned.num_blocks * block_tokens < planned.num_run; ++planned.num_blocks) {
    blocks.blocks.push_back(next_block_[static_cast<size_t>(planned.rank)]++);
  }
  TESSERA_CHECK(next_block_[static_cast<size_t>(planned.rank)] <= port_.limits().num_blocks);
  if (!blocks.blocks.empty()) plan.blocks.push_back(blocks);
  plan.slices.push_back({.sequence = planned.sequence.sequence, .num_tokens = count});
  const auto most = static_cast<int32_t>(planned.sequence.prompt.size()) + planned.sequence.max_tokens;
  if (planned.num_run == planned.num_tokens && planned.num_tokens < most - 1) ++planned.num_tokens;
}

absl::Status PlanDriver::Receive() {
  TESSERA_ASSIGN_OR_RETURN(const std::vector<StepResult> results, port_.Receive());
  for (const StepResult& result : results) {
    for (const SequenceResult& sequence : result.sequences) {
      Output& output = outputs_.at(sequence.sequence);
      TESSERA_CHECK(!output.finish);  // a sequence that has ended is not listed again
      Append(output.tokens, sequence.tokens);
      Append(output.logprobs, sequence.logprobs);
      Append(output.prompt_logprobs, sequence.prompt_logprobs);
      output.finish = sequence.finish;
      output.status = sequence.status;
      if (!sequence.finish) continue;
      const auto ended = std::find_if(running_.begin(), running_.end(), [&](const Planned& planned) {
        return planned.sequence.sequence == sequence.sequence;
      });
      TESSERA_CHECK(ended != running_.end());
      ended_.emplace_back(sequence.sequence, ended->rank);
      running_.erase(ended);
    }
  }
  return absl::OkStatus();
}

}  // namespace tessera
