#pragma once

#include "worker/checkpoint/model_config.h"
#include "worker/checkpoint/problem_list.h"
#include "worker/checkpoint/tensor_files.h"

namespace tessera {

// Compares the tensors in the files with those that the architecture needs: each there with the right shape and a
// number format that can be computed with, FP8 weights with their scales, and nothing left over but what is known to be
// harmless (README.md). Sets config.num_nextn_predict_layers to what is there and used, 0 or 1.
void MatchTensors(ModelConfig& config, const TensorFiles& files, ProblemList& problems, ProblemList& warnings);

// The scale grid of an FP8 weight of this size: block sizes of config.json, 128 × 128 if it does not say.
std::vector<int64_t> ScaleShape(const ModelConfig& config, int64_t rows, int64_t cols);

}  // namespace tessera
