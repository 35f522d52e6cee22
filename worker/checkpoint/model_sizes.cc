#include "worker/checkpoint/model_sizes.h"

#include "worker/checkpoint/match_tensors.h"

namespace tessera {
namespace {

constexpr int64_t kBFloat16Bytes = 2;
constexpr int64_t kF32Bytes = 4;

PartSize Sum(const std::array<PartSize, kNumModelParts>& parts) {
  PartSize sum;
  for (const PartSize& part : parts) {
    sum.parameters += part.parameters;
    sum.bytes += part.bytes;
  }
  return sum;
}

int64_t EstimatedBytes(const ModelConfig& config, const ExpectedTensor& tensor) {
  if (tensor.is_quantized) {
    const std::vector<int64_t> scales = ScaleShape(config, tensor.rows, tensor.cols);
    return tensor.num_values() + scales[0] * scales[1] * kF32Bytes;
  }
  const bool is_router_bias = tensor.part == ModelPart::kRouter && tensor.is_vector();  // F32 in every checkpoint
  const bool is_wide = config.dtype == "float32" || is_router_bias;
  return tensor.num_values() * (is_wide ? kF32Bytes : kBFloat16Bytes);
}

int64_t StoredBytes(const TensorFiles& files, const ExpectedTensor& tensor) {
  int64_t bytes = 0;
  for (const std::string& name : {tensor.name, tensor.name + "_scale_inv"}) {
    const auto found = files.tensors.find(name);
    if (found != files.tensors.end()) bytes += found->second.bytes;
  }
  return bytes;
}

}  // namespace

PartSize ModelSizes::MainTotal() const { return Sum(main); }
PartSize ModelSizes::MtpTotal() const { return Sum(mtp); }

ModelSizes ComputeSizes(const ModelConfig& config, const TensorFiles* files) {
  ModelSizes sizes;
  for (const ExpectedTensor& tensor : ExpectedTensors(config)) {
    const int64_t bytes = files != nullptr ? StoredBytes(*files, tensor) : EstimatedBytes(config, tensor);
    const bool is_copy = !tensor.alias.empty() && bytes == 0;
    if (is_copy) continue;
    PartSize& part = (tensor.is_mtp ? sizes.mtp : sizes.main)[static_cast<size_t>(tensor.part)];
    part.parameters += tensor.num_values();
    part.bytes += bytes;
  }
  const auto parameters = [&](ModelPart part) { return sizes.main[static_cast<size_t>(part)].parameters; };
  sizes.active_parameters =
      sizes.MainTotal().parameters - parameters(ModelPart::kRoutedExperts) - parameters(ModelPart::kEmbedding);
  if (config.n_routed_experts > 0) {
    sizes.active_parameters +=
        parameters(ModelPart::kRoutedExperts) / config.n_routed_experts * config.router.num_experts_per_tok;
  }
  sizes.mtp_cache_bytes_per_token = (int64_t{config.kv_lora_rank} + config.qk_rope_head_dim) * kBFloat16Bytes;
  sizes.cache_bytes_per_token = sizes.mtp_cache_bytes_per_token * config.num_hidden_layers;
  return sizes;
}

}  // namespace tessera
