#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/model/testing/changed_checkpoint.h"

namespace tessera {

// A random checkpoint whose MTP module often guesses right: the token that comes next follows mostly from the last one,
// for the model and for the module. Both still look at the context, so many guesses are wrong. `original` outlives it.
inline std::unique_ptr<ChangedCheckpoint> MakeDraftable(const Checkpoint& original) {
  const int64_t width = original.config().hidden_size;
  auto changed = std::make_unique<ChangedCheckpoint>(original);
  changed->ChangeMatrix("model.embed_tokens.weight", original.config().vocab_size, width,
                        [](std::vector<float>& values) {
                          for (float& value : values) value *= 4;
                        });
  const std::string projection = absl::StrFormat("model.layers.%d.eh_proj.weight", original.config().num_hidden_layers);
  changed->ChangeMatrix(projection, width, 2 * width, [&](std::vector<float>& values) {
    for (int64_t row = 0; row < width; ++row) {
      for (int64_t col = 0; col < width; ++col) values[static_cast<size_t>(2 * row * width + col)] = row == col ? 4 : 0;
    }
  });
  return changed;
}

}  // namespace tessera
