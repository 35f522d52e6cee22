#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/tensor.h"

namespace tessera {

// What sizes the buffers of an exchange; the same on all ranks.
struct ExchangeConfig {
  int32_t num_ranks = 1;
  int32_t n_routed_experts = 0;  // a multiple of num_ranks; rank r owns a contiguous range, the r-th
  int32_t num_experts_per_tok = 0;
  int32_t hidden_size = 0;
  int32_t step_tokens_max = 0;  // of one rank

  int32_t experts_per_rank() const { return n_routed_experts / num_ranks; }
  int64_t received_tokens_max() const { return static_cast<int64_t>(num_ranks) * step_tokens_max; }
  // A token can need no more experts of a rank than the rank has.
  int64_t received_pairs_max() const {
    const int32_t pairs_per_token = num_experts_per_tok < experts_per_rank() ? num_experts_per_tok : experts_per_rank();
    return received_tokens_max() * pairs_per_token;
  }
};

// The tokens that this rank's experts work on, as MoeExpertsArgs wants them. Valid until the next Dispatch.
struct ReceivedTokens {
  Tensor<const float, 2> input;           // [tokens, D]; each token once, whoever sent it
  std::span<const int32_t> pair_token;    // [pairs]
  std::span<const int32_t> expert_begin;  // [experts of this rank + 1]
  Tensor<float, 2> output;                // [pairs, D]; the experts' outputs go here
};

// Moves the tokens of an MoE layer to the ranks that own their experts and the outputs back. Every rank calls BeginStep
// once a step, then Dispatch and Combine once for each MoE layer, also when it has no token. Used by one thread a rank.
class ExpertExchange {
 public:
  virtual ~ExpertExchange() = default;
  virtual const ExchangeConfig& config() const = 0;
  virtual int32_t rank() const = 0;

  // `tokens_per_rank` are upper bounds: tokens planned for a sequence that has ended are not run.
  virtual absl::Status BeginStep(int64_t step, std::span<const int32_t> tokens_per_rank) = 0;

  // Sends token t, row t of `input` [T, D], once to each rank that owns one of experts[t, :] [T, k]. The memory of both
  // stays unchanged until Combine returns.
  virtual absl::StatusOr<ReceivedTokens> Dispatch(Tensor<const float, 2> input, Tensor<const int32_t, 2> experts) = 0;

  // Returns ReceivedTokens::output to the senders; contributions[t, i, :] [T, k, D] becomes the output of token t's
  // i-th expert.
  virtual absl::Status Combine(Tensor<float, 3> contributions) = 0;

  // Makes every call of every rank, those under way included, return an error with this reason. Thread-safe.
  virtual void Abort(const absl::Status& reason) = 0;
};

}  // namespace tessera
