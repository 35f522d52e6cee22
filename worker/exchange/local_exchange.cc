#include "worker/exchange/local_exchange.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "worker/exchange/fault.h"
#include "worker/exchange/pair_list.h"

namespace tessera {
namespace {

class LocalExchange final : public ExpertExchange {
 public:
  explicit LocalExchange(const ExchangeConfig& config)
      : ExpertExchange(config),
        pairs_(config),
        output_(static_cast<size_t>(config.received_pairs_max() * config.hidden_size)) {}

  int32_t rank() const override { return 0; }

  absl::Status BeginStep(int64_t step, std::span<const int32_t> tokens_per_rank) override {
    if (tokens_per_rank.size() != 1) {
      return absl::FailedPreconditionError(
          absl::StrFormat("step %d: plan for %d ranks, this group has 1", step, tokens_per_rank.size()));
    }
    return fault_.status();
  }

  absl::StatusOr<ReceivedTokens> Dispatch(Tensor<const float, 2> input, Tensor<const int32_t, 2> experts,
                                          const ExpertMap& map) override {
    if (fault_.is_raised()) return fault_.status();
    TESSERA_CHECK(input.dim(0) == experts.dim(0));
    pairs_.Clear();
    for (int64_t t = 0; t < experts.dim(0); ++t) {
      pairs_.BeginToken();
      for (int64_t i = 0; i < experts.dim(1); ++i) pairs_.Add(map.Choose(experts.row(t)[i], 0, t).index);
    }
    pairs_.Sort();
    counters_.tokens += input.dim(0);
    return ReceivedTokens{.input = input,
                          .pair_token = pairs_.pair_token(),
                          .expert_begin = pairs_.expert_begin(),
                          .output = {output_.data(), {pairs_.num_pairs(), config().hidden_size}}};
  }

  absl::Status Combine(Tensor<float, 3> contributions) override {
    const auto width = static_cast<size_t>(config().hidden_size);
    for (int64_t slot = 0; slot < contributions.dim(0) * contributions.dim(1); ++slot) {
      std::memcpy(contributions.data() + static_cast<size_t>(slot) * width,
                  output_.data() + static_cast<size_t>(pairs_.row_of(slot)) * width, width * sizeof(float));
    }
    return fault_.status();
  }

  absl::Status AllGather(std::span<const int64_t> mine, std::span<int64_t> all) override {
    TESSERA_CHECK(all.size() == mine.size());
    std::copy(mine.begin(), mine.end(), all.begin());
    return fault_.status();
  }

  void Abort(const absl::Status& reason) override { fault_.Raise(reason); }

  const ExchangeCounters& counters() const override { return counters_; }

 private:
  PairList pairs_;
  std::vector<float> output_;  // [pairs, D]
  ExchangeCounters counters_;
  Fault fault_;
};

}  // namespace

std::unique_ptr<ExpertExchange> MakeLocalExchange(const ExchangeConfig& config) {
  TESSERA_CHECK(config.num_ranks == 1);
  TESSERA_CHECK_OK(Validate(config));
  return std::make_unique<LocalExchange>(config);
}

int64_t LocalExchangeBytes(const ExchangeConfig& config) {
  return config.received_pairs_max() * (config.hidden_size * int64_t{sizeof(float)} + 4 * int64_t{sizeof(int32_t)});
}

}  // namespace tessera
