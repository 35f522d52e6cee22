#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "worker/checkpoint/model_config.h"

namespace tessera {

// What a tensor is for; memory is accounted by it.
enum class ModelPart : uint8_t {
  kEmbedding,
  kAttention,
  kDenseMlp,
  kRoutedExperts,
  kSharedExperts,
  kRouter,
  kNorms,
  kHead,
};
constexpr int kNumModelParts = 8;
std::string_view ToString(ModelPart part);

// One weight that the architecture needs.
struct ExpectedTensor {
  std::string name;
  int64_t rows = 0;
  int64_t cols = 0;  // 0: a vector of `rows` values
  ModelPart part = ModelPart::kNorms;
  bool is_mtp = false;
  bool is_quantized = false;  // in published FP8 checkpoints; the loader goes by the file, estimates go by this
  std::string alias;          // not empty: may be absent, then the tensor of this name takes its place

  bool is_vector() const { return cols == 0; }
  int64_t num_values() const { return is_vector() ? rows : rows * cols; }
};

// Every tensor of a checkpoint with this config, in the model's order: the one place that knows names and shapes. The
// MTP modules (layers num_hidden_layers …) are included. Memory: about 150 bytes a tensor; R1 has 46,000.
std::vector<ExpectedTensor> ExpectedTensors(const ModelConfig& config);

}  // namespace tessera
