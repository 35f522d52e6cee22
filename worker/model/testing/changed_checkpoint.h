#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernels/matrix.h"
#include "worker/checkpoint/checkpoint.h"

namespace tessera {

// A checkpoint some of whose matrices a test has changed.
class ChangedCheckpoint final : public Checkpoint {
 public:
  explicit ChangedCheckpoint(const Checkpoint& original) : original_(original) {}

  // `change` gets the values in F32, row-major.
  template <typename Change>
  void ChangeMatrix(const std::string& name, int64_t rows, int64_t cols, Change change) {
    std::vector<float> values(static_cast<size_t>(rows * cols));
    Dequantize(*original_.FindMatrix(name, rows, cols), values.data());
    change(values);
    matrices_[name] = std::move(values);
  }

  const std::string& folder() const override { return original_.folder(); }
  const ModelConfig& config() const override { return original_.config(); }
  absl::StatusOr<MatrixView> FindMatrix(std::string_view name, int64_t rows, int64_t cols) const override {
    const auto changed = matrices_.find(std::string(name));
    if (changed == matrices_.end()) return original_.FindMatrix(name, rows, cols);
    return MatrixView{.data = changed->second.data(), .rows = rows, .cols = cols};
  }
  absl::StatusOr<std::vector<float>> FindVector(std::string_view name, int64_t size) const override {
    return original_.FindVector(name, size);
  }
  bool Has(std::string_view name) const override { return original_.Has(name); }

 private:
  const Checkpoint& original_;
  std::map<std::string, std::vector<float>> matrices_;
};

}  // namespace tessera
