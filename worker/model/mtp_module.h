#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "worker/model/model.h"

namespace tessera {

// The multi-token prediction module (DeepSeek-V3, arXiv 2412.19437, section 2.2): from the main model's hidden state at
// a position and the token after it, the logits of the token after that.
//   x  = eh_proj · [norm(embedding(token)), norm(h)]      embedding first
//   x  = decoder layer(x), with a cache layer of its own, after those of the main model
//   h' = norm(x);   logits = head · h'
// h is the state after the final norm; for a further draft, h' takes its place.
class MtpModule {
 public:
  // Requires: weights.mtp is there. `decoder` is the main model's.
  MtpModule(const ModelConfig& config, const ModelWeights& weights, const ModelLimits& limits, Backend& backend,
            Decoder& decoder);

  // h of the next Forward, for the caller to fill in.
  Tensor<float, 2> input(int64_t num_tokens) { return {input_.data(), {num_tokens, config_.hidden_size}}; }

  // Row t pairs input[t, :] with batch.tokens[t], the token that follows it. Positions and slots are those of h. With
  // zero tokens it only takes part in the exchange.
  absl::Status Forward(const Batch& batch, PagedLatentCache& cache);

  // h' of all rows of the last Forward.
  Tensor<const float, 2> normed() const { return {normed_.data(), {num_tokens_, config_.hidden_size}}; }

  // logits[i, :] = those of row rows[i] of the last Forward. Requires: rows.size() ≤ kLogitRowsMax.
  absl::Status Logits(std::span<const int32_t> rows, Tensor<float, 2> logits);

  static int64_t WorkspaceBytes(const ModelConfig& config, int32_t step_tokens_max);

 private:
  absl::Status Norm(Tensor<const float, 2> input, const std::vector<float>& weight, Tensor<float, 2> output);
  // pairs[t, half · D …] = source[t, :]
  void CopyHalf(Tensor<const float, 2> source, int64_t half);

  const ModelConfig& config_;
  const ModelWeights& weights_;
  Backend& backend_;
  Decoder& decoder_;
  int64_t num_tokens_ = 0;
  std::vector<float> input_;       // [T, D]
  std::vector<float> normed_;      // [T, D]
  std::vector<float> pairs_;       // [T, 2 D]
  std::vector<float> hidden_;      // [T, D]
  std::vector<float> head_input_;  // [kLogitRowsMax, D]
};

}  // namespace tessera
