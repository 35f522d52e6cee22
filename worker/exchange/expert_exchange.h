#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/dtype.h"
#include "kernels/tensor.h"
#include "worker/placement/expert_map.h"

namespace tessera {

// What sizes the buffers of an exchange; the same on all ranks.
struct ExchangeConfig {
  int32_t num_ranks = 1;
  int32_t n_routed_experts = 0;  // a multiple of num_ranks
  int32_t num_experts_per_tok = 0;
  int32_t hidden_size = 0;
  int32_t step_tokens_max = 0;  // of one rank
  int32_t num_slots = 0;        // experts that all ranks hold, copies included; a multiple of num_ranks; 0: each once
  DType wire = DType::kF32;     // in which rows travel: kF32, or kBF16 where products round their inputs to it anyway

  int32_t slots_per_rank() const { return (num_slots > 0 ? num_slots : n_routed_experts) / num_ranks; }
  // A token can need no more experts of a rank than the rank has.
  int32_t pairs_per_token_max() const {
    return num_experts_per_tok < slots_per_rank() ? num_experts_per_tok : slots_per_rank();
  }
  int64_t received_tokens_max() const { return static_cast<int64_t>(num_ranks) * step_tokens_max; }
  int64_t received_pairs_max() const { return received_tokens_max() * pairs_per_token_max(); }
  int64_t row_bytes() const { return hidden_size * SizeOf(wire); }
};
absl::Status Validate(const ExchangeConfig& config);

// The tokens that this rank's experts work on, as MoeExpertsArgs wants them. Valid until the next Dispatch.
struct ReceivedTokens {
  Tensor<const float, 2> input;           // [tokens, D]; each token once, whoever sent it
  std::span<const int32_t> pair_token;    // [pairs]
  std::span<const int32_t> expert_begin;  // [slots of this rank + 1]
  Tensor<float, 2> output;                // [pairs, D]; the experts' outputs go here
};

// What a rank has sent to others since it was made. The least that a routing allows is one row for each token and rank
// other than its own that must see it, and one row back for each of its experts there.
struct ExchangeCounters {
  int64_t tokens = 0;           // dispatched by this rank, over all layers
  int64_t rows_dispatched = 0;  // to other ranks
  int64_t rows_returned = 0;    // contributions, to other ranks
  int64_t bytes_sent = 0;       // all of it, headers included
  int64_t bytes_least = 0;      // the rows alone
};

// Moves the tokens of an MoE layer to the ranks that hold their experts and the outputs back. Every rank calls
// BeginStep once a step, then Dispatch and Combine once for each MoE layer, also when it has no token. Used by one
// thread a rank.
class ExpertExchange {
 public:
  explicit ExpertExchange(const ExchangeConfig& config)
      : config_(config), even_map_(ExpertMap::Even(config.n_routed_experts, config.num_ranks)) {}
  virtual ~ExpertExchange() = default;
  const ExchangeConfig& config() const { return config_; }
  virtual int32_t rank() const = 0;

  // `tokens_per_rank` are upper bounds: tokens planned for a sequence that has ended are not run.
  virtual absl::Status BeginStep(int64_t step, std::span<const int32_t> tokens_per_rank) = 0;

  // Sends token t, row t of `input` [T, D], once to each rank that works on it: one that holds one of experts[t, :]
  // [T, k] under `map`, which is the same on all ranks. The memory of both stays unchanged until Combine returns.
  virtual absl::StatusOr<ReceivedTokens> Dispatch(Tensor<const float, 2> input, Tensor<const int32_t, 2> experts,
                                                  const ExpertMap& map) = 0;
  // With every expert once, rank r the r-th range of them.
  absl::StatusOr<ReceivedTokens> Dispatch(Tensor<const float, 2> input, Tensor<const int32_t, 2> experts) {
    return Dispatch(input, experts, even_map_);
  }

  // Returns ReceivedTokens::output to the senders; contributions[t, i, :] [T, k, D] becomes the output of token t's
  // i-th expert.
  virtual absl::Status Combine(Tensor<float, 3> contributions) = 0;

  // Numbers that all ranks must see, between layers: all[r · size …] becomes what rank r gave as `mine` [size]. Every
  // rank calls it at the same place with the same size.
  virtual absl::Status AllGather(std::span<const int64_t> mine, std::span<int64_t> all) = 0;

  // Makes every call of every rank, those under way included, return an error with this reason. Thread-safe.
  virtual void Abort(const absl::Status& reason) = 0;

  virtual const ExchangeCounters& counters() const = 0;  // for the thread that exchanges

 private:
  const ExchangeConfig config_;
  const ExpertMap even_map_;
};

}  // namespace tessera
