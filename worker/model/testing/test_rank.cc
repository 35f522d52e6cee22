#include "worker/model/testing/test_rank.h"

#include <algorithm>

#include "base/check.h"
#include "worker/exchange/local_exchange.h"
#include "worker/model/weight_loader.h"

namespace tessera {
namespace {

std::unique_ptr<ExpertExchange> LocalExchangeFor(const ModelConfig& config, int32_t step_tokens_max) {
  return MakeLocalExchange({.num_ranks = 1,
                            .n_routed_experts = config.n_routed_experts,
                            .num_experts_per_tok = config.router.num_experts_per_tok,
                            .hidden_size = config.hidden_size,
                            .step_tokens_max = step_tokens_max});
}

}  // namespace

std::unique_ptr<Checkpoint> OpenOrDie(const std::string& folder) {
  auto checkpoint = Checkpoint::Open(folder);
  TESSERA_CHECK_OK(checkpoint.status());
  return *std::move(checkpoint);
}

TestRank::TestRank(const Checkpoint& checkpoint, const TestRankOptions& options, std::unique_ptr<Backend> backend,
                   std::unique_ptr<ExpertExchange> exchange)
    : config_(checkpoint.config()),
      backend_(std::move(backend)),
      exchange_(std::move(exchange)),
      builder_(options.step_tokens_max, 16) {
  if (exchange_ == nullptr) exchange_ = LocalExchangeFor(config_, options.step_tokens_max);
  auto weights = LoadWeights(checkpoint,
                             {.rank = options.rank,
                              .num_ranks = options.num_ranks,
                              .num_slots = options.num_slots,
                              .precision = options.precision,
                              .mtp = options.mtp,
                              .check_finite = options.check_finite},
                             *backend_);
  TESSERA_CHECK_OK(weights.status());
  weights_ = std::make_unique<ModelWeights>(*std::move(weights));
  auto cache = PagedLatentCache::Create({.num_layers = config_.num_hidden_layers + (options.mtp ? 1 : 0),
                                         .num_blocks = options.num_blocks,
                                         .kv_lora_rank = config_.kv_lora_rank,
                                         .qk_rope_head_dim = config_.qk_rope_head_dim,
                                         .dtype = options.precision == Precision::kF32 ? DType::kF32 : DType::kBF16,
                                         .poison = true});
  TESSERA_CHECK_OK(cache.status());
  cache_ = *std::move(cache);
  const ModelLimits limits{.precision = options.precision, .step_tokens_max = options.step_tokens_max};
  model_ = std::make_unique<Model>(config_, *weights_, limits, *backend_, exchange_.get());
  if (options.mtp) mtp_ = std::make_unique<MtpModule>(config_, *weights_, limits, *backend_, model_->decoder());
}

std::vector<std::vector<float>> TestRank::Run(const std::vector<SequenceSlice>& slices) {
  builder_.Clear();
  for (const SequenceSlice& slice : slices) builder_.Add(slice);
  const Batch batch = builder_.Build();
  const std::vector<int32_t> tokens_per_rank(static_cast<size_t>(exchange_->config().num_ranks),
                                             exchange_->config().step_tokens_max);
  TESSERA_CHECK_OK(exchange_->BeginStep(++step_, tokens_per_rank));
  TESSERA_CHECK_OK(model_->Forward(batch, *cache_));
  std::vector<std::vector<float>> logits;
  const auto vocab = static_cast<size_t>(config_.vocab_size);
  for (size_t s = 0; s < slices.size(); ++s) {
    std::vector<float>& mine = logits.emplace_back(slices[s].tokens.size() * vocab);
    for (size_t t = 0; t < slices[s].tokens.size(); ++t) {
      const int32_t row = builder_.RowOf(static_cast<int32_t>(s), static_cast<int32_t>(t));
      TESSERA_CHECK_OK(model_->Logits({&row, 1}, {mine.data() + t * vocab, {1, config_.vocab_size}}));
    }
  }
  return logits;
}

std::vector<float> RunInChunks(TestRank& rank, std::span<const TokenId> tokens, int32_t num_prompt, int32_t chunk,
                               std::span<const BlockId> table) {
  std::vector<float> logits;
  for (size_t begin = 0; begin < tokens.size(); begin += static_cast<size_t>(chunk)) {
    const size_t count = std::min(static_cast<size_t>(chunk), tokens.size() - begin);
    const auto part = rank.Run({{.tokens = tokens.subspan(begin, count),
                                 .first_index = static_cast<int32_t>(begin),
                                 .num_prompt = num_prompt,
                                 .block_table = table}});
    logits.insert(logits.end(), part[0].begin(), part[0].end());
  }
  return logits;
}

}  // namespace tessera
