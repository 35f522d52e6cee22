#include "worker/checkpoint/checkpoint_builder.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "kernels/bfloat16.h"
#include "worker/checkpoint/expected_tensors.h"
#include "worker/checkpoint/match_tensors.h"
#include "worker/checkpoint/parse_model_config.h"

namespace tessera {
namespace {

constexpr const char* kConfig = R"({
  "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "vocab_size": 20, "hidden_size": 12,
  "num_hidden_layers": 2, "num_attention_heads": 2, "q_lora_rank": 6, "kv_lora_rank": 8, "qk_nope_head_dim": 4,
  "qk_rope_head_dim": 2, "v_head_dim": 5, "intermediate_size": 14, "moe_intermediate_size": 3, "n_routed_experts": 4,
  "n_shared_experts": 1, "first_k_dense_replace": 1, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1,
  "num_nextn_predict_layers": 1, "max_position_embeddings": 64, "eos_token_id": 1, "bos_token_id": 0,
  "torch_dtype": "bfloat16"})";

std::filesystem::path MakeFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "tessera_checkpoint_XXXXXX").string();
  TESSERA_CHECK(mkdtemp(pattern.data()) != nullptr);
  return pattern;
}

int64_t ItemBytes(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64") return 8;
  if (dtype == "F32" || dtype == "I32") return 4;
  return dtype == "BF16" || dtype == "F16" ? 2 : 1;
}

// One number as bytes: 1.0 where the format has it.
std::string One(const std::string& dtype) {
  if (dtype == "F32" || dtype == "BF16") return FloatBytes(dtype, {1});
  if (dtype == "F16") return std::string("\x00\x3c", 2);
  if (dtype == "F8_E4M3") return "\x38";
  if (dtype == "F8_E8M0") return "\x7f";
  return std::string(static_cast<size_t>(ItemBytes(dtype)), '\1');
}

std::string ShardName(int shard, size_t count) {
  if (count == 1) return "model.safetensors";
  return absl::StrFormat("model-%05d-of-%05d.safetensors", shard + 1, count);
}

}  // namespace

std::string FloatBytes(const std::string& dtype, const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) {
    const BFloat16 narrow(value);
    const char* data = dtype == "F32" ? reinterpret_cast<const char*>(&value) : reinterpret_cast<const char*>(&narrow);
    bytes.append(data, static_cast<size_t>(ItemBytes(dtype)));
  }
  return bytes;
}

std::string SafetensorsBytes(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + header + data;
}

CheckpointBuilder::CheckpointBuilder() : config(nlohmann::json::parse(kConfig)), folder_(MakeFolder()) {}

CheckpointBuilder::~CheckpointBuilder() {
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
}

void CheckpointBuilder::Add(const std::string& name, const std::string& dtype, const std::vector<int64_t>& shape,
                            int shard) {
  Tensor tensor = {.dtype = dtype, .shape = shape, .shard = shard};
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  for (int64_t i = 0; i < count; ++i) tensor.bytes += One(dtype);
  tensors[name] = std::move(tensor);
}

void CheckpointBuilder::AddTensors() {
  const ParsedConfig parsed = ParseModelConfig(config.dump(), std::nullopt);
  TESSERA_CHECK(parsed.config.has_value());
  for (const ExpectedTensor& expected : ExpectedTensors(*parsed.config)) {
    const bool is_bias = expected.name.ends_with("e_score_correction_bias");
    const std::string dtype = is_bias ? "F32" : expected.is_quantized ? "F8_E4M3" : "BF16";
    Add(expected.name, dtype,
        expected.is_vector() ? std::vector<int64_t>{expected.rows}
                             : std::vector<int64_t>{expected.rows, expected.cols});
    if (dtype == "F8_E4M3") {
      Add(expected.name + "_scale_inv", "F32", ScaleShape(*parsed.config, expected.rows, expected.cols));
    }
  }
}

void CheckpointBuilder::Write() {
  WriteFile("config.json", config.dump());
  if (!generation_config.is_null()) WriteFile("generation_config.json", generation_config.dump());
  std::set<int> shards;
  for (const auto& [name, tensor] : tensors) shards.insert(tensor.shard);
  nlohmann::json weight_map;
  size_t total = 0;
  for (const int shard : shards) {
    nlohmann::json header = {{"__metadata__", {{"format", "pt"}}}};
    std::string data;
    for (const auto& [name, tensor] : tensors) {
      if (tensor.shard != shard) continue;
      header[name] = {{"dtype", tensor.dtype},
                      {"shape", tensor.shape},
                      {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
      data += tensor.bytes;
      weight_map[name] = ShardName(shard, shards.size());
    }
    total += data.size();
    WriteFile(ShardName(shard, shards.size()), SafetensorsBytes(header.dump(), data));
  }
  if (shards.size() > 1) {
    const nlohmann::json index = {{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}};
    WriteFile("model.safetensors.index.json", index.dump());
  }
}

void CheckpointBuilder::WriteFile(const std::string& name, const std::string& bytes) const {
  std::ofstream(folder_ / name, std::ios::binary) << bytes;
}

std::string CheckpointBuilder::ReadFile(const std::string& name) const {
  std::ifstream file(folder_ / name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace tessera
