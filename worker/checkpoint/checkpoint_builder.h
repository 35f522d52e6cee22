#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace tessera {

// For tests: writes a checkpoint folder, right by default, with whatever fault a test wants. The folder is removed with
// the builder. Defaults: a V3 model of 2 layers (dense, 4 experts) and one MTP module, BF16, all weights 1.
class CheckpointBuilder {
 public:
  struct Tensor {
    std::string dtype;
    std::vector<int64_t> shape;
    std::string bytes;
    int shard = 0;
  };

  CheckpointBuilder();
  ~CheckpointBuilder();
  CheckpointBuilder(const CheckpointBuilder&) = delete;
  CheckpointBuilder& operator=(const CheckpointBuilder&) = delete;

  nlohmann::json config;                  // config.json
  nlohmann::json generation_config;       // generation_config.json, unless null
  std::map<std::string, Tensor> tensors;  // after AddTensors

  // Every tensor that `config` needs; matrices of FP8 checkpoints as F8_E4M3 with scales.
  void AddTensors();
  void Add(const std::string& name, const std::string& dtype, const std::vector<int64_t>& shape, int shard = 0);

  // Writes all files: one model.safetensors, or with several shards numbered ones and an index.
  void Write();
  void WriteFile(const std::string& name, const std::string& bytes) const;
  std::string ReadFile(const std::string& name) const;
  std::string folder() const { return folder_.string(); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

 private:
  std::filesystem::path folder_;
};

// A safetensors file with this header (any text) and data.
std::string SafetensorsBytes(const std::string& header, const std::string& data);

// The values as bytes of the dtype "F32" or "BF16".
std::string FloatBytes(const std::string& dtype, const std::vector<float>& values);

}  // namespace tessera
