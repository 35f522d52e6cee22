#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/gated_mlp.h"
#include "kernels/matrix.h"
#include "kernels/packed_matrix.h"
#include "worker/checkpoint/model_config.h"
#include "worker/placement/expert_map.h"

namespace tessera {

using PackedWeight = std::unique_ptr<PackedMatrix>;

// One feed-forward network: a dense layer's, the shared expert or a routed expert.
struct MlpWeights {
  PackedWeight gate, up, down;
  GatedMlpWeights view() const { return {.gate = gate.get(), .up = up.get(), .down = down.get()}; }
};

// Multi-head latent attention. Names are those of the checkpoint.
struct AttentionWeights {
  PackedWeight q_proj;               // without query compression; else null, and the next three are there
  PackedWeight q_a_proj, q_b_proj;   // D → q_lora_rank → H · (N + P)
  std::vector<float> q_a_layernorm;  // [q_lora_rank]
  PackedWeight kv_a_proj;            // D → R + P (kv_a_proj_with_mqa)
  std::vector<float> kv_a_layernorm;
  PackedWeight kv_b_proj;          // R → H · (N + V); for prompt tokens
  std::vector<PackedWeight> w_uk;  // [H] of [R, N]: its key part, transposed; for generated tokens
  std::vector<PackedWeight> w_uv;  // [H] of [V, R]: its value part
  std::vector<const PackedMatrix*> w_uk_views, w_uv_views;  // the same, as the operations take them
  PackedWeight o_proj;
};

// A mixture-of-experts layer: the router, this rank's routed experts, the shared expert.
struct MoeWeights {
  PackedWeight router;      // [E, D]; F32 in every precision
  std::vector<float> bias;  // [E]; e_score_correction_bias; empty in the V2 family
  std::optional<MlpWeights> shared;
  int32_t layer = 0;                             // by the names of the checkpoint
  ExpertMap expert_map = ExpertMap::Even(1, 1);  // which expert each slot of each rank holds; the same on all ranks
  std::vector<MlpWeights> experts;               // [slots of this rank]
  std::vector<GatedMlpWeights> expert_views;     // the same, as the operation takes them

  // Puts other experts into this rank's slots. Between steps.
  void ReplaceExperts(ExpertMap map, std::vector<MlpWeights> of_slots);
};

struct LayerWeights {
  std::vector<float> input_layernorm, post_attention_layernorm;
  AttentionWeights attention;
  std::optional<MlpWeights> dense;  // exactly one of the two is there
  std::optional<MoeWeights> moe;
};

// An embedding table in memory of its own: the file may change after the start.
struct EmbeddingTable {
  std::vector<char> bytes;
  MatrixView view;
};

// The multi-token prediction module (arXiv 2412.19437, section 2.2).
struct MtpWeights {
  std::vector<float> enorm, hnorm, head_norm;  // of the embedding, of the hidden state, before the head
  PackedWeight eh_proj;                        // [D, 2 D]; embedding first
  std::unique_ptr<EmbeddingTable> embedding;   // null: the main model's
  PackedWeight head;                           // null: the main model's
  LayerWeights layer;
};

// Everything that one rank needs of a checkpoint, packed for its backend.
struct ModelWeights {
  EmbeddingTable embedding;
  std::vector<LayerWeights> layers;
  std::vector<float> norm;
  PackedWeight lm_head;
  std::optional<MtpWeights> mtp;
  int64_t bytes = 0;  // packed matrices and embedding
};

}  // namespace tessera
