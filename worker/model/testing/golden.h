#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/ids.h"

namespace tessera {

// What Hugging Face transformers computed with a checkpoint of tests/golden/model (tools/make_goldens.py).
struct Golden {
  struct Values {
    int64_t rows = 0;
    int64_t cols = 0;
    std::vector<float> data;
    const float* row(int64_t i) const { return data.data() + i * cols; }
  };

  std::string folder;           // of the checkpoint
  std::vector<TokenId> tokens;  // one sequence
  std::vector<int32_t> rows;    // of the tokens whose values were kept
  int32_t num_far_tokens = 0;
  std::vector<int32_t> far_rows;  // the same for logits.at.<position>
  std::map<std::string, Values> values;
};

// Aborts if the file is not there or not whole: a broken golden is a broken repository.
Golden ReadGolden(const std::string& name);

// max |got − wanted| / max |wanted| over one row.
double RelativeError(const float* got, const float* wanted, int64_t size);

}  // namespace tessera
