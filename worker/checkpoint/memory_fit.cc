#include "worker/checkpoint/memory_fit.h"

#include <algorithm>

namespace tessera {
namespace {

constexpr int32_t kRanksMax = 256;

struct Shares {
  int64_t replicated_bytes = 0;  // on every rank
  int64_t expert_bytes = 0;      // shared out among the ranks
  int64_t cache_bytes_per_token = 0;
};

Shares SharesOf(const ModelSizes& sizes, bool with_mtp) {
  const auto experts = static_cast<size_t>(ModelPart::kRoutedExperts);
  Shares shares = {.replicated_bytes = sizes.MainTotal().bytes - sizes.main[experts].bytes,
                   .expert_bytes = sizes.main[experts].bytes,
                   .cache_bytes_per_token = sizes.cache_bytes_per_token};
  if (!with_mtp) return shares;
  shares.replicated_bytes += sizes.MtpTotal().bytes - sizes.mtp[experts].bytes;
  shares.expert_bytes += sizes.mtp[experts].bytes;
  shares.cache_bytes_per_token += sizes.mtp_cache_bytes_per_token;
  return shares;
}

FitRow MakeRow(int32_t ranks, const Shares& shares, const FitRequest& request) {
  FitRow row = {.ranks = ranks};
  row.weight_bytes_per_rank = shares.replicated_bytes + shares.expert_bytes / ranks;
  const auto usable = static_cast<int64_t>(static_cast<double>(request.memory_bytes) * request.usable);
  row.cache_bytes_per_rank = std::max<int64_t>(usable - row.weight_bytes_per_rank, 0);
  row.cache_tokens = row.cache_bytes_per_rank / shares.cache_bytes_per_token * ranks;
  row.fits = row.cache_tokens > 0;
  return row;
}

}  // namespace

std::vector<FitRow> FitTable(const ModelConfig& config, const ModelSizes& sizes, const FitRequest& request) {
  const bool with_mtp = request.with_mtp && config.num_nextn_predict_layers > 0;
  const Shares shares = SharesOf(sizes, with_mtp);
  const int32_t experts = std::max(config.n_routed_experts, 1);
  std::vector<FitRow> rows;
  for (const int32_t ranks : request.ranks) {
    const bool divides = ranks > 0 && experts % ranks == 0;
    rows.push_back(divides ? MakeRow(ranks, shares, request) : FitRow{.ranks = ranks, .divides = false});
  }
  for (int32_t ranks = 1; request.ranks.empty() && ranks <= kRanksMax && experts % ranks == 0; ranks *= 2) {
    rows.push_back(MakeRow(ranks, shares, request));
  }
  return rows;
}

}  // namespace tessera
