#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "worker/cache/paged_latent_cache.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/model/model.h"
#include "worker/model/mtp_module.h"

namespace tessera {

// Opens a checkpoint or aborts.
std::unique_ptr<Checkpoint> OpenOrDie(const std::string& folder);

struct TestRankOptions {
  Precision precision = Precision::kF32;
  bool mtp = false;
  bool check_finite = true;
  int32_t rank = 0;
  int32_t num_ranks = 1;
  int32_t num_slots = 0;
  int32_t step_tokens_max = 160;
  int32_t num_blocks = 16;
};

// One rank's model with everything it needs, cache poisoned, for tests. Aborts on errors.
class TestRank {
 public:
  // `exchange` null: a local one is made.
  TestRank(const Checkpoint& checkpoint, const TestRankOptions& options, std::unique_ptr<Backend> backend,
           std::unique_ptr<ExpertExchange> exchange = nullptr);

  // Runs the slices as one step and returns the logits of all their tokens: [slice][token · V].
  std::vector<std::vector<float>> Run(const std::vector<SequenceSlice>& slices);

  Model& model() { return *model_; }
  MtpModule& mtp() { return *mtp_; }
  PagedLatentCache& cache() { return *cache_; }
  ModelWeights& weights() { return *weights_; }
  Backend& backend() { return *backend_; }
  ExpertExchange& exchange() { return *exchange_; }
  BatchBuilder& builder() { return builder_; }
  const ModelConfig& config() const { return config_; }

 private:
  const ModelConfig config_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<ExpertExchange> exchange_;
  std::unique_ptr<ModelWeights> weights_;
  std::unique_ptr<PagedLatentCache> cache_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<MtpModule> mtp_;
  BatchBuilder builder_;
  int64_t step_ = 0;
};

// Runs one sequence whose first `num_prompt` tokens are its prompt in chunks of at most `chunk` tokens; returns the
// logits of every token, [tokens · V]. It uses the cache blocks `table`.
std::vector<float> RunInChunks(TestRank& rank, std::span<const TokenId> tokens, int32_t num_prompt, int32_t chunk,
                               std::span<const BlockId> table);

}  // namespace tessera
