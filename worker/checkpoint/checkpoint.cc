#include "worker/checkpoint/checkpoint.h"

#include <spdlog/spdlog.h>

#include <cmath>
#include <cstring>
#include <map>
#include <optional>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "base/status_macros.h"
#include "worker/checkpoint/check_checkpoint.h"
#include "worker/checkpoint/expected_tensors.h"
#include "worker/checkpoint/match_tensors.h"
#include "worker/checkpoint/stored_values.h"

namespace tessera {
namespace {

std::optional<DType> ComputableDType(StoredDType dtype) {
  switch (dtype) {
    case StoredDType::kF32:
      return DType::kF32;
    case StoredDType::kBF16:
      return DType::kBF16;
    case StoredDType::kF16:
      return DType::kF16;
    case StoredDType::kF8E4M3:
      return DType::kF8E4M3;
    default:
      return std::nullopt;
  }
}

class MappedCheckpoint final : public Checkpoint {
 public:
  MappedCheckpoint(std::string folder, ModelConfig config, TensorFiles files)
      : folder_(std::move(folder)), config_(std::move(config)), files_(std::move(files)) {
    for (const ExpectedTensor& expected : ExpectedTensors(config_)) {
      const bool use_alias = !expected.alias.empty() && (!files_.tensors.contains(expected.name) || !expected.is_mtp);
      if (use_alias) aliases_.emplace(expected.name, expected.alias);
    }
  }

  const std::string& folder() const override { return folder_; }
  const ModelConfig& config() const override { return config_; }
  bool Has(std::string_view name) const override { return Find(name) != nullptr; }

  absl::StatusOr<MatrixView> FindMatrix(std::string_view name, int64_t rows, int64_t cols) const override {
    TESSERA_ASSIGN_OR_RETURN(const TensorPlace* place, FindShaped(name, {rows, cols}));
    const std::optional<DType> dtype = ComputableDType(place->dtype);
    if (!dtype) return WrongDType(name, *place);
    const QuantizationConfig blocks = config_.quantization.value_or(QuantizationConfig());
    MatrixView view = {.data = Aligned(*place),
                       .dtype = *dtype,
                       .rows = rows,
                       .cols = cols,
                       .block_rows = blocks.block_rows,
                       .block_cols = blocks.block_cols};
    if (*dtype == DType::kF8E4M3) {
      const std::string scale_name = absl::StrFormat("%s_scale_inv", ResolvedName(name));
      TESSERA_ASSIGN_OR_RETURN(const TensorPlace* scale, FindShaped(scale_name, ScaleShape(config_, rows, cols)));
      view.scale = Scales(*scale);
    }
    return view;
  }

  absl::StatusOr<std::vector<float>> FindVector(std::string_view name, int64_t size) const override {
    TESSERA_ASSIGN_OR_RETURN(const TensorPlace* place, FindShaped(name, {size}));
    std::vector<float> values(static_cast<size_t>(size));
    if (!ConvertToF32(place->dtype, Data(*place), values)) return WrongDType(name, *place);
    return values;
  }

  void WillNeed(std::string_view name) const override {
    ForPlaces(name, [](const MappedFile& file, const TensorPlace& place) { file.WillNeed(place.begin, place.bytes); });
  }
  void DontNeed(std::string_view name) const override {
    ForPlaces(name, [](const MappedFile& file, const TensorPlace& place) { file.DontNeed(place.begin, place.bytes); });
  }

 private:
  std::string_view ResolvedName(std::string_view name) const {
    // An MTP head may stand for a head that stands for the embedding: two steps at most.
    for (auto alias = aliases_.find(name); alias != aliases_.end(); alias = aliases_.find(name)) name = alias->second;
    return name;
  }

  const TensorPlace* Find(std::string_view name) const {
    const auto found = files_.tensors.find(ResolvedName(name));
    return found == files_.tensors.end() ? nullptr : &found->second;
  }

  absl::StatusOr<const TensorPlace*> FindShaped(std::string_view name, const std::vector<int64_t>& shape) const {
    const TensorPlace* place = Find(name);
    if (place == nullptr) {
      return absl::NotFoundError(
          absl::StrFormat("%s: none of its %d tensors is '%s'", folder_, files_.tensors.size(), name));
    }
    if (place->shape != shape) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s/%s: '%s' is %s, wanted [%s]", folder_, files_.names[place->file], name,
                          Describe(place->dtype, place->shape), absl::StrJoin(shape, ", ")));
    }
    return place;
  }

  absl::Status WrongDType(std::string_view name, const TensorPlace& place) const {
    return absl::InvalidArgumentError(absl::StrFormat("%s/%s: '%s' is %s, wanted BF16, F16 or F32", folder_,
                                                      files_.names[place.file], name, ToString(place.dtype)));
  }

  const char* Data(const TensorPlace& place) const { return files_.files[place.file].bytes().data() + place.begin; }

  // The tensor in the mapping; or a copy, made once, if the file does not align it.
  const void* Aligned(const TensorPlace& place) const {
    const char* data = Data(place);
    if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(SizeOf(place.dtype)) == 0) return data;
    const absl::MutexLock lock(&mutex_);
    std::vector<float>& copy = copies_[data];
    if (copy.empty()) {
      copy.resize(static_cast<size_t>(place.bytes) / sizeof(float) + 1);
      std::memcpy(copy.data(), data, static_cast<size_t>(place.bytes));
    }
    return copy.data();
  }

  const float* Scales(const TensorPlace& place) const {
    if (place.dtype == StoredDType::kF32) return static_cast<const float*>(Aligned(place));
    const char* data = Data(place);
    const absl::MutexLock lock(&mutex_);
    std::vector<float>& copy = copies_[data];
    if (copy.empty()) {
      copy.resize(static_cast<size_t>(place.bytes / SizeOf(place.dtype)));
      TESSERA_CHECK(ConvertToF32(place.dtype, data, copy));  // MatchTensors let no other format pass
    }
    return copy.data();
  }

  template <typename Action>
  void ForPlaces(std::string_view name, const Action& action) const {
    for (const std::string& full : {std::string(name), absl::StrFormat("%s_scale_inv", ResolvedName(name))}) {
      if (const TensorPlace* place = Find(full)) action(files_.files[place->file], *place);
    }
  }

  std::string folder_;
  ModelConfig config_;
  TensorFiles files_;
  StringMap<std::string> aliases_;
  mutable absl::Mutex mutex_;
  mutable std::map<const char*, std::vector<float>> copies_ ABSL_GUARDED_BY(mutex_);  // by place in the mapping
};

absl::Status ToStatus(const std::string& folder, const std::vector<std::string>& problems) {
  constexpr size_t kLinesMax = 8;
  std::string text = absl::StrJoin(
      problems.begin(), problems.begin() + static_cast<std::ptrdiff_t>(std::min(problems.size(), kLinesMax)), "\n  ");
  if (problems.size() > kLinesMax) {
    text += absl::StrFormat("\n  and %d more: `tessera check` lists all", problems.size() - kLinesMax);
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("%s cannot be served:%s%s", folder, problems.size() > 1 ? "\n  " : " ", text));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& folder) {
  CheckpointHeaders headers = ReadCheckpointHeaders(folder);
  if (!headers.problems.empty()) return ToStatus(folder, headers.problems);
  for (const std::string& line : headers.warnings) spdlog::warn("{}: {}", folder, line);
  return std::make_unique<MappedCheckpoint>(folder, *std::move(headers.config), std::move(headers.files));
}

}  // namespace tessera
