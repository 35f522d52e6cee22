#include "worker/exchange/local_exchange.h"

#include <cstring>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/mutex.h"
#include "worker/exchange/pair_list.h"

namespace tessera {
namespace {

class LocalExchange final : public ExpertExchange {
 public:
  explicit LocalExchange(const ExchangeConfig& config)
      : config_(config),
        pairs_(config, 0),
        output_(static_cast<size_t>(config.received_pairs_max() * config.hidden_size)) {}

  const ExchangeConfig& config() const override { return config_; }
  int32_t rank() const override { return 0; }

  absl::Status BeginStep(int64_t step, std::span<const int32_t> tokens_per_rank) override {
    if (tokens_per_rank.size() != 1) {
      return absl::FailedPreconditionError(
          absl::StrFormat("step %d: plan for %d ranks, this group has 1", step, tokens_per_rank.size()));
    }
    return Aborted();
  }

  absl::StatusOr<ReceivedTokens> Dispatch(Tensor<const float, 2> input, Tensor<const int32_t, 2> experts) override {
    if (absl::Status aborted = Aborted(); !aborted.ok()) return aborted;
    pairs_.Clear();
    pairs_.Add(experts);
    pairs_.Sort();
    const auto num_pairs = static_cast<int64_t>(pairs_.pair_token().size());
    TESSERA_CHECK(pairs_.num_tokens() == input.dim(0));  // every expert lives here
    return ReceivedTokens{.input = input,
                          .pair_token = pairs_.pair_token(),
                          .expert_begin = pairs_.expert_begin(),
                          .output = {output_.data(), {num_pairs, config_.hidden_size}}};
  }

  absl::Status Combine(Tensor<float, 3> contributions) override {
    const int64_t slots = contributions.dim(0) * contributions.dim(1);
    const auto width = static_cast<size_t>(config_.hidden_size);
    for (int64_t slot = 0; slot < slots; ++slot) {
      std::memcpy(contributions.data() + static_cast<size_t>(slot) * width,
                  output_.data() + static_cast<size_t>(pairs_.pair_of_slot(slot)) * width, width * sizeof(float));
    }
    return Aborted();
  }

  void Abort(const absl::Status& reason) override {
    const MutexLock lock(mutex_);
    if (aborted_.ok()) aborted_ = reason;
  }

 private:
  absl::Status Aborted() {
    const MutexLock lock(mutex_);
    return aborted_;
  }

  const ExchangeConfig config_;
  PairList pairs_;
  std::vector<float> output_;  // [pairs, D]
  Mutex mutex_;
  absl::Status aborted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<ExpertExchange> MakeLocalExchange(const ExchangeConfig& config) {
  TESSERA_CHECK(config.num_ranks == 1);
  return std::make_unique<LocalExchange>(config);
}

int64_t LocalExchangeBytes(const ExchangeConfig& config) {
  const int64_t slots = config.received_tokens_max() * config.num_experts_per_tok;
  return config.received_pairs_max() * config.hidden_size * int64_t{sizeof(float)} +
         4 * slots * int64_t{sizeof(int32_t)};
}

}  // namespace tessera
