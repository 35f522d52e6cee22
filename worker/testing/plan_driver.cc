#include "worker/testing/plan_driver.h"

#include <algorithm>

#include "base/check.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

template <typename T>
void Append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

PlanDriver::PlanDriver(WorkerPort& port, int32_t chunk, std::vector<int32_t> draft_tokens)
    : port_(port),
      chunk_(chunk),
      draft_tokens_(draft_tokens.empty() ? std::vector<int32_t>{0} : std::move(draft_tokens)),
      draft_tokens_max_(*std::max_element(draft_tokens_.begin(), draft_tokens_.end())),
      next_block_(static_cast<size_t>(port.limits().num_ranks)) {}

void PlanDriver::Add(int32_t rank, AddedSequence sequence, std::vector<BlockId> cached_blocks) {
  outputs_[sequence.sequence] = {};
  const auto num_known = static_cast<int32_t>(sequence.prompt.size() + sequence.generated.size());
  const int32_t num_cached = sequence.num_cached_tokens;
  running_.push_back({.sequence = std::move(sequence),
                      .rank = rank,
                      .num_known = num_known,
                      .num_run = num_cached,
                      .blocks = std::move(cached_blocks)});
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
    plan.draft_tokens = draft_tokens_[static_cast<size_t>(step_) % draft_tokens_.size()];
  }
  return plans;
}

void PlanDriver::PlanSlice(Planned& planned, StepPlan& plan) {
  int32_t room = port_.limits().step_tokens_max;
  for (const Slice& slice : plan.slices) room -= slice.num_tokens;
  const auto [count, num_held] = NextSlice(planned, room);
  if (count == 0) return;
  if (!planned.added) plan.added.push_back(planned.sequence);
  planned.added = true;
  CoverWithBlocks(planned, num_held, plan);
  plan.slices.push_back({.sequence = planned.sequence.sequence, .num_tokens = count});
}

std::pair<int32_t, int32_t> PlanDriver::NextSlice(Planned& planned, int32_t room) const {
  if (planned.num_run < planned.num_known) {
    const int32_t count = std::min({planned.num_known - planned.num_run, chunk_, room});
    planned.num_run += count;
    if (count > 0 && planned.num_run == planned.num_known) ++planned.num_under_way;
    return {count, planned.num_run};
  }
  const int32_t most = std::min(static_cast<int32_t>(planned.sequence.prompt.size()) + planned.sequence.max_tokens,
                                port_.limits().context_tokens_max);
  const int32_t received = planned.num_known + planned.num_received;
  if (received + planned.num_under_way >= most) return {0, 0};  // each slice brings a token at least
  const int32_t count = 1 + draft_tokens_max_;
  if (count > room) return {0, 0};
  const int32_t num_held = received + planned.num_under_way * count + draft_tokens_max_;
  ++planned.num_under_way;
  return {count, std::min(num_held, most - 1)};
}

void PlanDriver::CoverWithBlocks(Planned& planned, int32_t num_tokens, StepPlan& plan) {
  const auto block_tokens = static_cast<size_t>(port_.limits().block_tokens);
  int32_t& next = next_block_[static_cast<size_t>(planned.rank)];
  while (planned.blocks.size() * block_tokens < static_cast<size_t>(num_tokens)) planned.blocks.push_back(next++);
  TESSERA_CHECK(next <= port_.limits().num_blocks);
  outputs_.at(planned.sequence.sequence).blocks = planned.blocks;
  if (planned.num_blocks_sent == planned.blocks.size()) return;
  plan.blocks.push_back({.sequence = planned.sequence.sequence,
                         .blocks = {planned.blocks.begin() + static_cast<std::ptrdiff_t>(planned.num_blocks_sent),
                                    planned.blocks.end()}});
  planned.num_blocks_sent = planned.blocks.size();
}

absl::Status PlanDriver::Receive() {
  TESSERA_ASSIGN_OR_RETURN(const std::vector<StepResult> results, port_.Receive());
  for (const StepResult& result : results) {
    for (const SequenceResult& sequence : result.sequences) Receive(sequence);
    if (drafts_.size() < result.drafts.size()) drafts_.resize(result.drafts.size());
    for (size_t i = 0; i < result.drafts.size(); ++i) {
      drafts_[i].num_drafted += result.drafts[i].num_drafted;
      drafts_[i].num_accepted += result.drafts[i].num_accepted;
    }
  }
  return absl::OkStatus();
}

void PlanDriver::Receive(const SequenceResult& result) {
  Output& output = outputs_.at(result.sequence);
  TESSERA_CHECK(!output.finish);  // a sequence that has ended is not listed again
  Append(output.tokens, result.tokens);
  Append(output.logprobs, result.logprobs);
  Append(output.prompt_logprobs, result.prompt_logprobs);
  output.finish = result.finish;
  output.status = result.status;
  const auto planned = std::find_if(running_.begin(), running_.end(), [&](const Planned& candidate) {
    return candidate.sequence.sequence == result.sequence;
  });
  TESSERA_CHECK(planned != running_.end());
  planned->num_received += static_cast<int32_t>(result.tokens.size());
  if (!result.tokens.empty()) --planned->num_under_way;
  if (!result.finish) return;
  ended_.emplace_back(result.sequence, planned->rank);
  running_.erase(planned);
}

}  // namespace tessera
