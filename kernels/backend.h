#pragma once

#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/combine.h"
#include "kernels/embedding.h"
#include "kernels/gated_mlp.h"
#include "kernels/gemm.h"
#include "kernels/latent_cache.h"
#include "kernels/matrix.h"
#include "kernels/mla_decode.h"
#include "kernels/mla_prefill.h"
#include "kernels/moe_experts.h"
#include "kernels/packed_matrix.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"
#include "kernels/router.h"

namespace tessera {

// All operations on one device. The model is written against this, so it runs on the reference, the CPU and the GPU
// form alike. Arguments are trusted: the caller has validated shapes once. Used by one thread at a time. An error is a
// failure of the device; on a CPU every operation succeeds.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;  // for logs, such as "cpu (avx512_bf16, 2 threads)"

  // Brings a weight into this backend's layout. The view's memory is not used afterwards.
  virtual absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(const MatrixView& matrix, Precision precision) = 0;

  virtual absl::Status Embedding(const EmbeddingArgs& args) = 0;
  virtual absl::Status RmsNorm(const RmsNormArgs& args) = 0;
  virtual absl::Status Gemm(const GemmArgs& args) = 0;
  virtual absl::Status Rope(const RopeArgs& args) = 0;
  virtual absl::Status LatentWrite(const LatentWriteArgs& args) = 0;
  virtual absl::Status MlaPrefill(const MlaPrefillArgs& args) = 0;
  virtual absl::Status AbsorbQuery(const AbsorbQueryArgs& args) = 0;
  virtual absl::Status MlaDecode(const MlaDecodeArgs& args) = 0;
  virtual absl::Status ExpandOutput(const ExpandOutputArgs& args) = 0;
  virtual absl::Status Router(const RouterArgs& args) = 0;
  virtual absl::Status GatedMlp(const GatedMlpArgs& args) = 0;
  virtual absl::Status MoeExperts(const MoeExpertsArgs& args) = 0;
  virtual absl::Status Combine(const CombineArgs& args) = 0;
};

}  // namespace tessera
