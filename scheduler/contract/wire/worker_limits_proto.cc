#include "scheduler/contract/wire/worker_limits_proto.h"

#include <cstdint>

#include "base/status_macros.h"
#include "scheduler/contract/wire/check_field.h"

namespace tessera::wire {
namespace {

// Far above any real group, low enough that sums and products stay within 64 bits and tables within memory.
constexpr int64_t kRanksMax = 1 << 16;
constexpr int64_t kBlockTokensMax = 1 << 16;
constexpr int64_t kCountMax = 1 << 24;

}  // namespace

void ToProto(const WorkerLimits& limits, pb::WorkerLimits& out) {
  out.set_num_ranks(limits.num_ranks);
  out.set_num_blocks(limits.num_blocks);
  out.set_block_tokens(limits.block_tokens);
  out.set_step_tokens_max(limits.step_tokens_max);
  out.set_sequences_max(limits.sequences_max);
  out.set_context_tokens_max(limits.context_tokens_max);
  out.set_vocab_size(limits.vocab_size);
  out.set_draft_tokens_max(limits.draft_tokens_max);
}

absl::StatusOr<WorkerLimits> FromProto(const pb::WorkerLimits& in) {
  TESSERA_RETURN_IF_ERROR(CheckRange("num_ranks", in.num_ranks(), 1, kRanksMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("num_blocks", in.num_blocks(), 1, kCountMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("block_tokens", in.block_tokens(), 1, kBlockTokensMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("step_tokens_max", in.step_tokens_max(), 1, kCountMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("sequences_max", in.sequences_max(), 1, kCountMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("context_tokens_max", in.context_tokens_max(), 2, kCountMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("vocab_size", in.vocab_size(), 1, kCountMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("draft_tokens_max", in.draft_tokens_max(), 0, kDraftTokensMax));
  return WorkerLimits{.num_ranks = in.num_ranks(),
                      .num_blocks = in.num_blocks(),
                      .block_tokens = in.block_tokens(),
                      .step_tokens_max = in.step_tokens_max(),
                      .sequences_max = in.sequences_max(),
                      .context_tokens_max = in.context_tokens_max(),
                      .vocab_size = in.vocab_size(),
                      .draft_tokens_max = in.draft_tokens_max()};
}

}  // namespace tessera::wire
