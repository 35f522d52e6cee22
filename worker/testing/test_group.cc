#include "worker/testing/test_group.h"

#include "base/check.h"
#include "kernels/reference/reference_backend.h"

namespace tessera {

WorkerGroupOptions TestGroupOptions(int32_t num_ranks) {
  return {.num_ranks = num_ranks,
          .precision = Precision::kF32,
          .step_tokens_max = 160,
          .sequences_max = 16,
          .context_tokens_max = 400,
          .num_blocks = 40,
          .poison_cache = true};
}

std::unique_ptr<InProcessWorkerGroup> MakeTestGroup(const Checkpoint& checkpoint, const WorkerGroupOptions& options,
                                                    const Clock& clock) {
  auto group = InProcessWorkerGroup::Create(
      checkpoint, options, [](int32_t) { return reference::MakeBackend(); }, clock);
  TESSERA_CHECK_OK(group.status());
  return *std::move(group);
}

AddedSequence TestSequence(int64_t id, int32_t length, int32_t max_tokens, int32_t seed) {
  AddedSequence sequence{.sequence = SequenceId{id}, .sampling = {.temperature = 0}, .max_tokens = max_tokens};
  for (int32_t i = 0; i < length; ++i) sequence.prompt.push_back((31 * i + 17 * seed + i * i) % 120 + 3);
  return sequence;
}

}  // namespace tessera
