#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/matrix.h"
#include "worker/checkpoint/model_config.h"

namespace tessera {

// A checkpoint folder whose headers were read and checked, its tensors memory-mapped. Nothing is copied before it is
// asked for. Thread-safe after Open. The views it hands out live as long as it does.
class Checkpoint {
 public:
  // Reads config.json, generation_config.json, the index and every safetensors header, and checks all of them: files
  // complete, offsets, dtypes, shapes, every tensor that the architecture needs there and none too many. The error
  // names file, tensor, expected and found. Reads no weight. Harmless oddities are logged, once.
  static absl::StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& folder);
  virtual ~Checkpoint() = default;

  virtual const std::string& folder() const = 0;

  // config.json with its defaults, and with num_nextn_predict_layers 0 if the files have no MTP module.
  virtual const ModelConfig& config() const = 0;

  // A weight matrix [rows, cols], with its scales when it is FP8. The name is the full one, without a suffix such as
  // "_scale_inv"; e.g. "model.layers.3.mlp.experts.17.down_proj.weight". Tensors that a checkpoint may leave out
  // because they are copies (a tied lm_head; embedding and head of the MTP module) are found under their own names all
  // the same.
  virtual absl::StatusOr<MatrixView> FindMatrix(std::string_view name, int64_t rows, int64_t cols) const = 0;

  // A vector (norm weight, router bias), converted to F32.
  virtual absl::StatusOr<std::vector<float>> FindVector(std::string_view name, int64_t size) const = 0;

  virtual bool Has(std::string_view name) const = 0;

  // Hints about a tensor and its scales, for loading in order without filling memory with pages that were packed
  // already: it will be read soon; it will not be read again (it still can be).
  virtual void WillNeed(std::string_view name) const { static_cast<void>(name); }
  virtual void DontNeed(std::string_view name) const { static_cast<void>(name); }
};

}  // namespace tessera
