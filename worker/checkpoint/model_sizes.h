#pragma once

#include <array>
#include <cstdint>

#include "worker/checkpoint/expected_tensors.h"
#include "worker/checkpoint/model_config.h"
#include "worker/checkpoint/tensor_files.h"

namespace tessera {

struct PartSize {
  int64_t parameters = 0;  // scales of FP8 weights are none
  int64_t bytes = 0;       // as stored, scales included
};

// How large a model is. Parts are indexed by ModelPart.
struct ModelSizes {
  std::array<PartSize, kNumModelParts> main;  // without MTP modules
  std::array<PartSize, kNumModelParts> mtp;   // with their copies of embedding and head
  int64_t active_parameters = 0;  // used for one token: not the experts that are not chosen, nor the embedding table
  int64_t cache_bytes_per_token = 0;      // latent cache of all layers, BF16, without MTP
  int64_t mtp_cache_bytes_per_token = 0;  // of one MTP module

  PartSize MainTotal() const;
  PartSize MtpTotal() const;
};

// From the files' own formats; with files == nullptr estimated from config.json: FP8 where published checkpoints have
// it, the config's dtype elsewhere.
ModelSizes ComputeSizes(const ModelConfig& config, const TensorFiles* files);

}  // namespace tessera
