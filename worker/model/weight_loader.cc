#include "worker/model/weight_loader.h"

#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "worker/checkpoint/check_finite.h"
#include "worker/placement/expert_placement.h"

namespace tessera {
namespace {

constexpr char kEmbedding[] = "model.embed_tokens.weight";
constexpr char kHead[] = "lm_head.weight";

// Loads the weights of one rank, layer by layer. Lives for one LoadWeights.
class Loader {
 public:
  Loader(const Checkpoint& checkpoint, const LoadOptions& options, Backend& backend, const LoadProgress& progress)
      : checkpoint_(checkpoint),
        config_(checkpoint.config()),
        options_(options),
        backend_(backend),
        progress_(progress),
        num_total_(CountWeights(config_, options)) {}

  absl::StatusOr<ModelWeights> Load();
  absl::StatusOr<MlpWeights> LoadExpert(const std::string& prefix, int32_t expert) {
    return LoadMlp(absl::StrCat(prefix, "experts.", expert, "."), config_.moe_intermediate_size);
  }

 private:
  absl::StatusOr<PackedWeight> Pack(const MatrixView& matrix, Precision precision);
  absl::StatusOr<MatrixView> Find(const std::string& name, int64_t rows, int64_t cols) const;
  absl::StatusOr<std::vector<float>> LoadVector(const std::string& name, int64_t size) const;
  absl::StatusOr<PackedWeight> LoadMatrix(const std::string& name, int64_t rows, int64_t cols);
  absl::StatusOr<EmbeddingTable> LoadEmbedding(const std::string& name);
  absl::StatusOr<MlpWeights> LoadMlp(const std::string& prefix, int64_t width);
  absl::Status LoadQuery(const std::string& prefix, AttentionWeights& weights);
  absl::Status LoadUpProjections(const std::string& prefix, AttentionWeights& weights);
  absl::StatusOr<AttentionWeights> LoadAttention(const std::string& prefix);
  absl::StatusOr<MoeWeights> LoadMoe(const std::string& prefix, int32_t layer);
  absl::StatusOr<LayerWeights> LoadLayer(int32_t layer, bool moe);
  absl::StatusOr<MtpWeights> LoadMtp();
  void Report() {
    ++num_done_;
    if (progress_) progress_(num_done_, num_total_);
  }
  absl::StatusOr<bool> IsCopy(const std::string& name, const std::string& original) const;

  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  const LoadOptions& options_;
  Backend& backend_;
  const LoadProgress& progress_;
  const int64_t num_total_;
  int64_t num_done_ = 0;
  int64_t bytes_ = 0;
};

absl::StatusOr<PackedWeight> Loader::Pack(const MatrixView& matrix, Precision precision) {
  TESSERA_ASSIGN_OR_RETURN(PackedWeight packed, backend_.Pack(matrix, precision));
  bytes_ += packed->bytes();
  return packed;
}

absl::StatusOr<MatrixView> Loader::Find(const std::string& name, int64_t rows, int64_t cols) const {
  TESSERA_ASSIGN_OR_RETURN(const MatrixView matrix, checkpoint_.FindMatrix(name, rows, cols));
  checkpoint_.WillNeed(name);
  if (options_.check_finite) TESSERA_RETURN_IF_ERROR(CheckFinite(matrix, name));
  return matrix;
}

absl::StatusOr<std::vector<float>> Loader::LoadVector(const std::string& name, int64_t size) const {
  TESSERA_ASSIGN_OR_RETURN(std::vector<float> values, checkpoint_.FindVector(name, size));
  if (options_.check_finite) TESSERA_RETURN_IF_ERROR(CheckFinite(values, name));
  return values;
}

absl::StatusOr<PackedWeight> Loader::LoadMatrix(const std::string& name, int64_t rows, int64_t cols) {
  TESSERA_ASSIGN_OR_RETURN(const MatrixView matrix, Find(name, rows, cols));
  TESSERA_ASSIGN_OR_RETURN(PackedWeight packed, Pack(matrix, options_.precision));
  checkpoint_.DontNeed(name);
  Report();
  return packed;
}

absl::StatusOr<EmbeddingTable> Loader::LoadEmbedding(const std::string& name) {
  TESSERA_ASSIGN_OR_RETURN(const MatrixView matrix, Find(name, config_.vocab_size, config_.hidden_size));
  EmbeddingTable table;
  if (matrix.dtype == DType::kF8E4M3) {  // no published model has it; rows of the table are read without scales
    table.bytes.resize(static_cast<size_t>(matrix.rows * matrix.cols) * sizeof(float));
    Dequantize(matrix, reinterpret_cast<float*>(table.bytes.data()));
    table.view = {.dtype = DType::kF32, .rows = matrix.rows, .cols = matrix.cols};
  } else {
    table.bytes.resize(static_cast<size_t>(matrix.rows * matrix.cols * SizeOf(matrix.dtype)));
    std::memcpy(table.bytes.data(), matrix.data, table.bytes.size());
    table.view = matrix;
  }
  table.view.data = table.bytes.data();
  bytes_ += static_cast<int64_t>(table.bytes.size());
  Report();
  return table;
}

absl::StatusOr<MlpWeights> Loader::LoadMlp(const std::string& prefix, int64_t width) {
  const int64_t hidden = config_.hidden_size;
  MlpWeights mlp;
  TESSERA_ASSIGN_OR_RETURN(mlp.gate, LoadMatrix(prefix + "gate_proj.weight", width, hidden));
  TESSERA_ASSIGN_OR_RETURN(mlp.up, LoadMatrix(prefix + "up_proj.weight", width, hidden));
  TESSERA_ASSIGN_OR_RETURN(mlp.down, LoadMatrix(prefix + "down_proj.weight", hidden, width));
  return mlp;
}

absl::Status Loader::LoadQuery(const std::string& prefix, AttentionWeights& weights) {
  const int64_t query_size = int64_t{config_.num_attention_heads} * config_.qk_head_dim();
  if (config_.q_lora_rank == 0) {
    TESSERA_ASSIGN_OR_RETURN(weights.q_proj, LoadMatrix(prefix + "q_proj.weight", query_size, config_.hidden_size));
    return absl::OkStatus();
  }
  const int64_t rank = config_.q_lora_rank;
  TESSERA_ASSIGN_OR_RETURN(weights.q_a_proj, LoadMatrix(prefix + "q_a_proj.weight", rank, config_.hidden_size));
  TESSERA_ASSIGN_OR_RETURN(weights.q_a_layernorm, LoadVector(prefix + "q_a_layernorm.weight", rank));
  TESSERA_ASSIGN_OR_RETURN(weights.q_b_proj, LoadMatrix(prefix + "q_b_proj.weight", query_size, rank));
  return absl::OkStatus();
}

// Cuts kv_b_proj into the two matrices of each head that the absorbed form multiplies with.
absl::Status Loader::LoadUpProjections(const std::string& prefix, AttentionWeights& weights) {
  const int64_t key = config_.qk_nope_head_dim;
  const int64_t value = config_.v_head_dim;
  const int64_t rank = config_.kv_lora_rank;
  const std::string name = prefix + "kv_b_proj.weight";
  const int64_t rows = config_.num_attention_heads * (key + value);
  TESSERA_ASSIGN_OR_RETURN(const MatrixView kv_b, checkpoint_.FindMatrix(name, rows, rank));
  TESSERA_ASSIGN_OR_RETURN(weights.kv_b_proj, LoadMatrix(name, rows, rank));
  std::vector<float> head(static_cast<size_t>((key + value) * rank));
  std::vector<float> transposed(static_cast<size_t>(rank * key));
  for (int64_t h = 0; h < config_.num_attention_heads; ++h) {
    Dequantize(kv_b.Rows(h * (key + value), key + value), head.data());
    for (int64_t n = 0; n < key; ++n) {
      for (int64_t r = 0; r < rank; ++r) {
        transposed[static_cast<size_t>(r * key + n)] = head[static_cast<size_t>(n * rank + r)];
      }
    }
    const MatrixView w_uk{.data = transposed.data(), .rows = rank, .cols = key};
    const MatrixView w_uv{.data = head.data() + key * rank, .rows = value, .cols = rank};
    TESSERA_ASSIGN_OR_RETURN(PackedWeight packed_uk, Pack(w_uk, options_.precision));
    TESSERA_ASSIGN_OR_RETURN(PackedWeight packed_uv, Pack(w_uv, options_.precision));
    weights.w_uk_views.push_back(packed_uk.get());
    weights.w_uv_views.push_back(packed_uv.get());
    weights.w_uk.push_back(std::move(packed_uk));
    weights.w_uv.push_back(std::move(packed_uv));
  }
  return absl::OkStatus();
}

absl::StatusOr<AttentionWeights> Loader::LoadAttention(const std::string& prefix) {
  AttentionWeights weights;
  TESSERA_RETURN_IF_ERROR(LoadQuery(prefix, weights));
  const int64_t rank = config_.kv_lora_rank;
  TESSERA_ASSIGN_OR_RETURN(weights.kv_a_proj, LoadMatrix(prefix + "kv_a_proj_with_mqa.weight",
                                                         rank + config_.qk_rope_head_dim, config_.hidden_size));
  TESSERA_ASSIGN_OR_RETURN(weights.kv_a_layernorm, LoadVector(prefix + "kv_a_layernorm.weight", rank));
  TESSERA_RETURN_IF_ERROR(LoadUpProjections(prefix, weights));
  TESSERA_ASSIGN_OR_RETURN(weights.o_proj, LoadMatrix(prefix + "o_proj.weight", config_.hidden_size,
                                                      int64_t{config_.num_attention_heads} * config_.v_head_dim));
  return weights;
}

absl::StatusOr<MoeWeights> Loader::LoadMoe(const std::string& prefix, int32_t layer) {
  MoeWeights moe{.layer = layer};
  const int64_t num_experts = config_.n_routed_experts;
  TESSERA_ASSIGN_OR_RETURN(const MatrixView router, Find(prefix + "gate.weight", num_experts, config_.hidden_size));
  TESSERA_ASSIGN_OR_RETURN(moe.router, Pack(router, Precision::kF32));
  if (config_.router.method == TopkMethod::kNoAuxTc) {
    TESSERA_ASSIGN_OR_RETURN(moe.bias, LoadVector(prefix + "gate.e_score_correction_bias", num_experts));
  }
  const int64_t width = config_.moe_intermediate_size;
  if (config_.n_shared_experts > 0) {
    TESSERA_ASSIGN_OR_RETURN(moe.shared, LoadMlp(prefix + "shared_experts.", width * config_.n_shared_experts));
  }
  ExpertMap map = FirstExpertMap(config_, options_);
  std::vector<MlpWeights> of_slots;
  for (const int32_t expert : map.experts_of(options_.rank)) {
    TESSERA_ASSIGN_OR_RETURN(MlpWeights weights, LoadExpert(prefix, expert));
    of_slots.push_back(std::move(weights));
  }
  moe.ReplaceExperts(std::move(map), std::move(of_slots));
  return moe;
}

absl::StatusOr<LayerWeights> Loader::LoadLayer(int32_t layer, bool moe) {
  const std::string prefix = absl::StrCat("model.layers.", layer, ".");
  LayerWeights weights;
  TESSERA_ASSIGN_OR_RETURN(weights.input_layernorm, LoadVector(prefix + "input_layernorm.weight", config_.hidden_size));
  TESSERA_ASSIGN_OR_RETURN(weights.attention, LoadAttention(prefix + "self_attn."));
  TESSERA_ASSIGN_OR_RETURN(weights.post_attention_layernorm,
                           LoadVector(prefix + "post_attention_layernorm.weight", config_.hidden_size));
  if (moe) {
    TESSERA_ASSIGN_OR_RETURN(weights.moe, LoadMoe(prefix + "mlp.", layer));
  } else {
    TESSERA_ASSIGN_OR_RETURN(weights.dense, LoadMlp(prefix + "mlp.", config_.intermediate_size));
  }
  return weights;
}

// Whether a table of the MTP module repeats that of the main model byte by byte: then one copy in memory is enough.
absl::StatusOr<bool> Loader::IsCopy(const std::string& name, const std::string& original) const {
  const int64_t rows = config_.vocab_size;
  const int64_t cols = config_.hidden_size;
  TESSERA_ASSIGN_OR_RETURN(const MatrixView a, checkpoint_.FindMatrix(name, rows, cols));
  TESSERA_ASSIGN_OR_RETURN(const MatrixView b, checkpoint_.FindMatrix(original, rows, cols));
  if (a.data == b.data) return true;
  return a.dtype == b.dtype && a.scale == nullptr && b.scale == nullptr &&
         std::memcmp(a.data, b.data, static_cast<size_t>(rows * cols * SizeOf(a.dtype))) == 0;
}

absl::StatusOr<MtpWeights> Loader::LoadMtp() {
  const int32_t layer = config_.num_hidden_layers;  // modules come after the last layer; the first one is used
  const std::string prefix = absl::StrCat("model.layers.", layer, ".");
  const int64_t hidden = config_.hidden_size;
  MtpWeights mtp;
  TESSERA_ASSIGN_OR_RETURN(mtp.enorm, LoadVector(prefix + "enorm.weight", hidden));
  TESSERA_ASSIGN_OR_RETURN(mtp.hnorm, LoadVector(prefix + "hnorm.weight", hidden));
  TESSERA_ASSIGN_OR_RETURN(mtp.head_norm, LoadVector(prefix + "shared_head.norm.weight", hidden));
  TESSERA_ASSIGN_OR_RETURN(mtp.eh_proj, LoadMatrix(prefix + "eh_proj.weight", hidden, 2 * hidden));
  TESSERA_ASSIGN_OR_RETURN(mtp.layer, LoadLayer(layer, config_.n_routed_experts > 0));
  const std::string embedding = prefix + "embed_tokens.weight";
  TESSERA_ASSIGN_OR_RETURN(const bool same_embedding, IsCopy(embedding, kEmbedding));
  if (!same_embedding) {
    TESSERA_ASSIGN_OR_RETURN(EmbeddingTable table, LoadEmbedding(embedding));
    mtp.embedding = std::make_unique<EmbeddingTable>(std::move(table));
  }
  const std::string head = prefix + "shared_head.head.weight";
  TESSERA_ASSIGN_OR_RETURN(const bool same_head, IsCopy(head, kHead));
  if (!same_head) {
    TESSERA_ASSIGN_OR_RETURN(mtp.head, LoadMatrix(head, config_.vocab_size, hidden));
  }
  return mtp;
}

absl::StatusOr<ModelWeights> Loader::Load() {
  ModelWeights weights;
  TESSERA_ASSIGN_OR_RETURN(weights.embedding, LoadEmbedding(kEmbedding));
  for (int32_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
    TESSERA_ASSIGN_OR_RETURN(LayerWeights loaded, LoadLayer(layer, config_.IsMoeLayer(layer)));
    weights.layers.push_back(std::move(loaded));
  }
  TESSERA_ASSIGN_OR_RETURN(weights.norm, LoadVector("model.norm.weight", config_.hidden_size));
  TESSERA_ASSIGN_OR_RETURN(weights.lm_head, LoadMatrix(kHead, config_.vocab_size, config_.hidden_size));
  if (options_.mtp) {
    TESSERA_ASSIGN_OR_RETURN(weights.mtp, LoadMtp());
  }
  if (progress_) progress_(num_total_, num_total_);
  weights.bytes = bytes_;
  return weights;
}

}  // namespace

absl::Status ValidateRanks(const ModelConfig& config, int32_t num_ranks) {
  const int32_t num_experts = config.n_routed_experts;
  if (num_ranks >= 1 && (num_experts == 0 || num_experts % num_ranks == 0)) return absl::OkStatus();
  std::string possible;
  for (int32_t count = 1; count <= num_experts; ++count) {
    if (num_experts % count == 0) absl::StrAppend(&possible, possible.empty() ? "" : ", ", count);
  }
  return absl::InvalidArgumentError(absl::StrFormat("ranks: got %d, wanted a divisor of the %d routed experts: %s",
                                                    num_ranks, num_experts, possible.empty() ? "1 or more" : possible));
}

absl::Status ValidateSlots(const ModelConfig& config, int32_t num_ranks, int32_t num_slots) {
  if (num_slots == 0) return absl::OkStatus();
  if (num_slots >= config.n_routed_experts && num_slots % num_ranks == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("expert slots: got %d, wanted a multiple of the %d ranks, at least the %d routed experts",
                      num_slots, num_ranks, config.n_routed_experts));
}

ExpertMap FirstExpertMap(const ModelConfig& config, const LoadOptions& options) {
  if (options.num_slots == 0) return ExpertMap::Even(config.n_routed_experts, options.num_ranks);
  const std::vector<double> load(static_cast<size_t>(config.n_routed_experts), 1.0);
  const auto slots = PlaceExperts(
      load,
      {.n_routed_experts = config.n_routed_experts, .num_slots = options.num_slots, .num_ranks = options.num_ranks});
  TESSERA_CHECK_OK(slots.status());  // ValidateSlots has been asked
  absl::StatusOr<ExpertMap> map = ExpertMap::FromSlots(*slots, config.n_routed_experts, options.num_ranks);
  TESSERA_CHECK_OK(map.status());
  return *std::move(map);
}

int64_t CountWeights(const ModelConfig& config, const LoadOptions& options) {
  const int64_t attention = config.q_lora_rank == 0 ? 4 : 5;
  const int32_t num_slots = options.num_slots > 0 ? options.num_slots : config.n_routed_experts;
  const int64_t moe = 3 * int64_t{num_slots / options.num_ranks} + (config.n_shared_experts > 0 ? 3 : 0);
  int64_t total = 2;  // embedding and head
  for (int32_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    total += attention + (config.IsMoeLayer(layer) ? moe : 3);
  }
  if (options.mtp) total += 1 + attention + (config.n_routed_experts > 0 ? moe : 3);
  return total;
}

absl::StatusOr<ModelWeights> LoadWeights(const Checkpoint& checkpoint, const LoadOptions& options, Backend& backend,
                                         const LoadProgress& progress) {
  TESSERA_RETURN_IF_ERROR(ValidateRanks(checkpoint.config(), options.num_ranks));
  TESSERA_RETURN_IF_ERROR(ValidateSlots(checkpoint.config(), options.num_ranks, options.num_slots));
  if (options.mtp && checkpoint.config().num_nextn_predict_layers == 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: multi-token prediction is asked for, but num_nextn_predict_layers is 0", checkpoint.folder()));
  }
  return Loader(checkpoint, options, backend, progress).Load();
}

absl::StatusOr<MlpWeights> LoadExpert(const Checkpoint& checkpoint, const LoadOptions& options, int32_t layer,
                                      int32_t expert, Backend& backend) {
  return Loader(checkpoint, options, backend, nullptr)
      .LoadExpert(absl::StrCat("model.layers.", layer, ".mlp."), expert);
}

}  // namespace tessera
