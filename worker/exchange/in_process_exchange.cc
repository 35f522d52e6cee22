#include "worker/exchange/in_process_exchange.h"

#include <cstring>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "worker/exchange/pair_list.h"
#include "worker/exchange/rank_barrier.h"

namespace tessera {
namespace {

// What one rank shows to the others. Written by its owner, read by all, in turns that the barrier keeps apart:
//   input, experts        written before the meeting of Dispatch, read until that of Combine
//   pairs, output         written between the two, read until the next meeting of Dispatch
struct RankBoard {
  explicit RankBoard(const ExchangeConfig& config, int32_t rank)
      : pairs(config, rank * config.experts_per_rank()),
        received(static_cast<size_t>(config.received_tokens_max() * config.hidden_size)),
        output(static_cast<size_t>(config.received_pairs_max() * config.hidden_size)) {}

  Tensor<const float, 2> input;
  Tensor<const int32_t, 2> experts;
  PairList pairs;
  std::vector<float> received;  // [tokens, D]; this rank's own
  std::vector<float> output;    // [pairs, D]
};

struct Group {
  Group(const ExchangeConfig& config, absl::Duration timeout) : barrier(config.num_ranks, timeout) {
    for (int32_t rank = 0; rank < config.num_ranks; ++rank) boards.push_back(std::make_unique<RankBoard>(config, rank));
  }
  RankBarrier barrier;
  std::vector<std::unique_ptr<RankBoard>> boards;  // [ranks]
};

class InProcessExchange final : public ExpertExchange {
 public:
  InProcessExchange(const ExchangeConfig& config, int32_t rank, std::shared_ptr<Group> group)
      : config_(config), rank_(rank), group_(std::move(group)) {}

  const ExchangeConfig& config() const override { return config_; }
  int32_t rank() const override { return rank_; }

  absl::Status BeginStep(int64_t step, std::span<const int32_t> tokens_per_rank) override {
    if (tokens_per_rank.size() != static_cast<size_t>(config_.num_ranks)) {
      return absl::FailedPreconditionError(absl::StrFormat("rank %d, step %d: plan for %d ranks, this group has %d",
                                                           rank_, step, tokens_per_rank.size(), config_.num_ranks));
    }
    position_ = {.step = step, .meeting = 0};
    tokens_max_ = tokens_per_rank[static_cast<size_t>(rank_)];
    return group_->barrier.status();
  }

  absl::StatusOr<ReceivedTokens> Dispatch(Tensor<const float, 2> input, Tensor<const int32_t, 2> experts) override {
    if (input.dim(0) > tokens_max_ || input.dim(0) != experts.dim(0)) {
      return absl::InternalError(absl::StrFormat("rank %d, step %d: %d tokens dispatched, the plan has %d", rank_,
                                                 position_.step, input.dim(0), tokens_max_));
    }
    RankBoard& mine = *group_->boards[static_cast<size_t>(rank_)];
    mine.input = input;
    mine.experts = experts;
    TESSERA_RETURN_IF_ERROR(Meet());
    mine.pairs.Clear();
    int64_t num_slots = 0;
    for (const auto& sender : group_->boards) {
      if (sender.get() == &mine) first_slot_ = num_slots;
      num_slots += sender->experts.size();
      Receive(*sender, mine);
    }
    mine.pairs.Sort();
    const auto num_pairs = static_cast<int64_t>(mine.pairs.pair_token().size());
    return ReceivedTokens{.input = {mine.received.data(), {mine.pairs.num_tokens(), config_.hidden_size}},
                          .pair_token = mine.pairs.pair_token(),
                          .expert_begin = mine.pairs.expert_begin(),
                          .output = {mine.output.data(), {num_pairs, config_.hidden_size}}};
  }

  absl::Status Combine(Tensor<float, 3> contributions) override {
    TESSERA_RETURN_IF_ERROR(Meet());
    const RankBoard& mine = *group_->boards[static_cast<size_t>(rank_)];
    const auto width = static_cast<size_t>(config_.hidden_size);
    for (int64_t slot = 0; slot < mine.experts.size(); ++slot) {
      const int32_t owner_rank = mine.experts.data()[slot] / config_.experts_per_rank();
      const RankBoard& owner = *group_->boards[static_cast<size_t>(owner_rank)];
      const auto pair = static_cast<size_t>(owner.pairs.pair_of_slot(first_slot_ + slot));
      std::memcpy(contributions.data() + static_cast<size_t>(slot) * width, owner.output.data() + pair * width,
                  width * sizeof(float));
    }
    return absl::OkStatus();
  }

  void Abort(const absl::Status& reason) override { group_->barrier.Abort(reason); }

 private:
  absl::Status Meet() {
    const absl::Status met = group_->barrier.Meet(rank_, position_);
    ++position_.meeting;
    return met;
  }

  // Copies the tokens that need an expert of this rank, each once.
  static void Receive(const RankBoard& sender, RankBoard& mine) {
    const auto width = static_cast<size_t>(sender.input.dim(1));
    float* next = mine.received.data() + static_cast<size_t>(mine.pairs.num_tokens()) * width;
    for (int64_t t = 0; t < sender.experts.dim(0); ++t) {
      bool wanted = false;
      for (int64_t i = 0; i < sender.experts.dim(1); ++i) wanted |= mine.pairs.Owns(sender.experts.row(t)[i]);
      if (!wanted) continue;
      std::memcpy(next, sender.input.row(t), width * sizeof(float));
      next += width;
    }
    mine.pairs.Add(sender.experts);
  }

  const ExchangeConfig config_;
  const int32_t rank_;
  const std::shared_ptr<Group> group_;
  RankPosition position_;
  int32_t tokens_max_ = 0;  // of this rank in this step
  int64_t first_slot_ = 0;  // of this rank's tokens in every owner's list
};

}  // namespace

std::vector<std::unique_ptr<ExpertExchange>> MakeInProcessExchanges(const ExchangeConfig& config,
                                                                    absl::Duration timeout) {
  TESSERA_CHECK(config.num_ranks > 0 && config.n_routed_experts % config.num_ranks == 0);
  auto group = std::make_shared<Group>(config, timeout);
  std::vector<std::unique_ptr<ExpertExchange>> exchanges;
  for (int32_t rank = 0; rank < config.num_ranks; ++rank) {
    exchanges.push_back(std::make_unique<InProcessExchange>(config, rank, group));
  }
  return exchanges;
}

int64_t InProcessExchangeBytes(const ExchangeConfig& config) {
  const int64_t rows = config.received_tokens_max() + config.received_pairs_max();
  const int64_t slots = config.received_tokens_max() * config.num_experts_per_tok;
  return rows * config.hidden_size * int64_t{sizeof(float)} + 4 * slots * int64_t{sizeof(int32_t)};
}

}  // namespace tessera
