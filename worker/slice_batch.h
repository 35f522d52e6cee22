#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "scheduler/contract/step_plan.h"
#include "worker/model/batch.h"
#include "worker/sequence_table.h"

namespace tessera {

// A slice of the step under way. Its rows are known tokens, then drafts to verify.
struct RunningSlice {
  SequenceState* sequence = nullptr;
  int32_t first = 0;  // index of the first row's token in the sequence
  int32_t num_known = 0;
  int32_t num_drafts = 0;
  int32_t num_accepted = 0;  // of the drafts; set by the Verifier
  bool samples = false;      // its last known token is the sequence's last: the token after it is sampled

  int32_t num_rows() const { return num_known + num_drafts; }
};

// The slices of one step, laid out as a batch: known tokens, and the drafts of sequences that decode as far as slice
// and blocks have room. Allocates at construction only.
class SliceBatch {
 public:
  struct Limits {
    int32_t step_tokens_max = 0;
    int32_t sequences_max = 0;
    int32_t draft_tokens_max = 0;
  };
  explicit SliceBatch(const Limits& limits);

  void Clear();
  // InvalidArgument if the sequence has not so many tokens left, or no blocks for them.
  absl::Status Add(const Slice& slice, SequenceState& sequence);
  // Valid until the next Clear.
  Batch Build() { return builder_.Build(); }

  std::span<RunningSlice> slices() { return slices_; }
  std::span<const RunningSlice> slices() const { return slices_; }
  // After Build.
  int32_t RowOf(size_t slice, int32_t offset) const { return builder_.RowOf(static_cast<int32_t>(slice), offset); }

 private:
  const Limits limits_;
  std::vector<RunningSlice> slices_;    // by index in the builder
  std::vector<TokenId> decode_tokens_;  // the last token and the drafts of one slice after the other
  BatchBuilder builder_;
};

}  // namespace tessera
