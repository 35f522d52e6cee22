#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "kernels/tensor.h"
#include "worker/cache/paged_latent_cache.h"
#include "worker/model/batch.h"
#include "worker/model/model.h"
#include "worker/model/mtp_module.h"
#include "worker/slice_batch.h"

namespace tessera {

// Guesses the tokens that come next with the MTP module, after the step's own tokens are sampled. The module runs on
// every row whose next token is known (a prompt token, or one just sampled), at the row's position and slot, so that
// its cache layer is always filled as far as the main ones and nothing is carried from step to step. Further drafts
// reuse the module on its own output, at the slots that the true tokens will overwrite. What it is given outlives it.
class Drafter {
 public:
  struct Limits {
    int32_t step_tokens_max = 0;
    int32_t sequences_max = 0;
    int32_t valid_vocab = 0;
  };

  // `logits` [kLogitRowsMax, V] is work space.
  Drafter(const Limits& limits, Model& model, MtpModule& module, PagedLatentCache& cache, Tensor<float, 2> logits);

  // Fills the cache, then guesses up to `draft_tokens` tokens for each sequence that sampled and goes on. Takes part in
  // max(1, draft_tokens) exchanges, whatever the rank has to do.
  absl::Status Run(const SliceBatch& step, int32_t draft_tokens);

 private:
  // A sequence that drafts, and the module's row that its next draft comes from.
  struct Drafting {
    SequenceState* sequence = nullptr;
    int32_t row = 0;
  };

  absl::Status FillCache(const SliceBatch& step);
  absl::Status RunOnDrafts();
  absl::Status Guess();
  void GuessFrom(std::span<Drafting> sequences, Tensor<const float, 2> logits);

  const Limits limits_;
  Model& model_;
  MtpModule& module_;
  PagedLatentCache& cache_;
  const Tensor<float, 2> logits_;
  BatchBuilder builder_;
  std::vector<int32_t> model_rows_;  // by the module's row
  std::vector<int32_t> logit_rows_;
  std::vector<Drafting> drafting_;
};

}  // namespace tessera
