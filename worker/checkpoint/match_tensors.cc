#include "worker/checkpoint/match_tensors.h"

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "worker/checkpoint/expected_tensors.h"

namespace tessera {
namespace {

constexpr std::string_view kScaleSuffix = "_scale_inv";
constexpr std::string_view kLayerPrefix = "model.layers.";

// The 3 of "model.layers.3.…".
std::optional<int32_t> LayerOf(std::string_view name) {
  if (!name.starts_with(kLayerPrefix)) return std::nullopt;
  const std::string_view rest = name.substr(kLayerPrefix.size());
  const std::string_view digits = rest.substr(0, rest.find('.'));
  int32_t layer = 0;
  if (!absl::SimpleAtoi(absl::string_view(digits.data(), digits.size()), &layer)) return std::nullopt;
  return layer;
}

bool IsFloat(StoredDType dtype) {
  return dtype == StoredDType::kF32 || dtype == StoredDType::kBF16 || dtype == StoredDType::kF16;
}

class Matcher {
 public:
  Matcher(ModelConfig& config, const TensorFiles& files, ProblemList& problems, ProblemList& warnings)
      : config_(config), files_(files), problems_(problems), warnings_(warnings) {}

  void Match() {
    SettleMtp();
    for (const ExpectedTensor& expected : ExpectedTensors(config_)) MatchOne(expected);
    WarnOfQuantization();
    std::set<std::string_view> surplus;  // sorted, so that the same folder gives the same lines
    for (const auto& [name, place] : files_.tensors) {
      if (used_.count(name) == 0) surplus.insert(name);
    }
    for (const std::string_view name : surplus) JudgeSurplus(name);
  }

 private:
  const TensorPlace* Find(std::string_view name) const {
    const auto found = files_.tensors.find(name);
    return found == files_.tensors.end() ? nullptr : &found->second;
  }

  const std::string& FileOf(const TensorPlace& place) const { return files_.names[place.file]; }

  // Exporters drop the MTP modules and leave their number in config.json; that model can be served, without drafts.
  void SettleMtp() {
    std::set<int32_t> present;
    for (const auto& [name, place] : files_.tensors) {
      const std::optional<int32_t> layer = LayerOf(name);
      if (!layer || *layer < config_.num_hidden_layers) continue;
      present.insert(*layer);
      if (name.ends_with(".eh_proj.weight")) mtp_layers_.insert(*layer);
    }
    const int32_t announced = config_.num_nextn_predict_layers;
    if (announced > 0 && present.count(config_.num_hidden_layers) == 0 && files_.unread.empty()) {
      warnings_.Add(
          absl::StrFormat("config.json: 'num_nextn_predict_layers' is %d, but no tensor of layer %d is there: "
                          "served without the MTP module",
                          announced, config_.num_hidden_layers));
      config_.num_nextn_predict_layers = 0;
    } else if (announced > 1) {
      warnings_.Add(
          absl::StrFormat("config.json: 'num_nextn_predict_layers' is %d; the first MTP module is used, the "
                          "others are ignored",
                          announced));
      config_.num_nextn_predict_layers = 1;
    }
  }

  void MatchOne(const ExpectedTensor& expected) {
    const TensorPlace* place = Find(expected.name);
    const std::vector<int64_t> shape =
        expected.is_vector() ? std::vector<int64_t>{expected.rows} : std::vector<int64_t>{expected.rows, expected.cols};
    if (place == nullptr) {
      const bool reported = files_.files.empty() || files_.unread.count(expected.name) != 0;
      if (expected.alias.empty() && !reported) {
        problems_.AddTensor(expected.name, absl::StrFormat("is missing, wanted [%s]", absl::StrJoin(shape, ", ")), "");
      }
      return;
    }
    used_.insert(expected.name);
    if (place->shape != shape) {
      problems_.AddTensor(expected.name,
                          absl::StrFormat("is %s, config.json asks for [%s]", Describe(place->dtype, place->shape),
                                          absl::StrJoin(shape, ", ")),
                          FileOf(*place));
      used_.insert(expected.name + std::string(kScaleSuffix));  // one line is enough
    } else if (place->dtype == StoredDType::kF8E4M3 && !expected.is_vector()) {
      MatchScale(expected, *place);
    } else if (!IsFloat(place->dtype)) {
      problems_.AddTensor(expected.name,
                          absl::StrFormat("is %s, wanted BF16, F16 or F32%s", ToString(place->dtype),
                                          expected.is_vector() ? "" : ", or F8_E4M3 with scales"),
                          FileOf(*place));
      used_.insert(expected.name + std::string(kScaleSuffix));
    }
    if (expected.name == "lm_head.weight" && config_.tie_word_embeddings) {
      warnings_.Add("lm_head.weight: ignored, 'tie_word_embeddings' is true");
    }
  }

  void MatchScale(const ExpectedTensor& expected, const TensorPlace& weight) {
    has_fp8_ = true;
    const std::string name = expected.name + std::string(kScaleSuffix);
    const std::vector<int64_t> shape = ScaleShape(config_, expected.rows, expected.cols);
    const TensorPlace* scale = Find(name);
    if (scale == nullptr) {
      if (files_.unread.count(name) != 0) return;
      problems_.AddTensor(expected.name,
                          absl::StrFormat("is F8_E4M3 without its scales, wanted '….weight%s' [%s]", kScaleSuffix,
                                          absl::StrJoin(shape, ", ")),
                          FileOf(weight));
      return;
    }
    used_.insert(name);
    if (scale->shape != shape) {
      problems_.AddTensor(
          name,
          absl::StrFormat("is %s, wanted [%s] for a weight of [%d, %d]", Describe(scale->dtype, scale->shape),
                          absl::StrJoin(shape, ", "), expected.rows, expected.cols),
          FileOf(*scale));
    } else if (!IsFloat(scale->dtype) && scale->dtype != StoredDType::kF8E8M0) {
      problems_.AddTensor(name, absl::StrFormat("is %s, wanted F32, BF16, F16 or F8_E8M0", ToString(scale->dtype)),
                          FileOf(*scale));
    }
  }

  void WarnOfQuantization() {
    if (has_fp8_ && !config_.quantization) {
      warnings_.Add("config.json: has no 'quantization_config', but FP8 weights are there: scale blocks of 128 × 128");
    } else if (!has_fp8_ && config_.quantization && !files_.files.empty()) {
      warnings_.Add("config.json: has a 'quantization_config', but no FP8 weight is there: read as they are");
    }
  }

  void JudgeSurplus(std::string_view name) {
    const TensorPlace& place = *Find(name);
    if (name.ends_with(".rotary_emb.inv_freq")) {
      warnings_.AddTensor(name, "is ignored: the frequencies are computed from config.json", "");
      return;
    }
    const std::optional<int32_t> layer = LayerOf(name);
    if (layer && mtp_layers_.count(*layer) != 0 && *layer != MtpLayerInUse()) {
      const std::string pattern = absl::StrFormat("%s%d.", kLayerPrefix, *layer);
      if (ignored_layers_.insert(*layer).second) {
        warnings_.Add(absl::StrFormat("%s*: ignored, an MTP module that config.json does not use", pattern));
      }
      return;
    }
    if (name.ends_with(kScaleSuffix)) {
      const std::string weight(name.substr(0, name.size() - kScaleSuffix.size()));
      const TensorPlace* found = Find(weight);
      problems_.AddTensor(name,
                          absl::StrCat("is a surplus scale: its weight is ",
                                       found == nullptr ? "not there" : std::string(ToString(found->dtype))),
                          FileOf(place));
      return;
    }
    problems_.AddTensor(name, "is surplus: the architecture of config.json has no such tensor", FileOf(place));
  }

  int32_t MtpLayerInUse() const { return config_.num_nextn_predict_layers > 0 ? config_.num_hidden_layers : -1; }

  ModelConfig& config_;
  const TensorFiles& files_;
  ProblemList& problems_;
  ProblemList& warnings_;
  std::unordered_set<std::string> used_;
  std::set<int32_t> mtp_layers_;  // layers past num_hidden_layers that look like MTP modules
  std::set<int32_t> ignored_layers_;
  bool has_fp8_ = false;
};

}  // namespace

std::vector<int64_t> ScaleShape(const ModelConfig& config, int64_t rows, int64_t cols) {
  const QuantizationConfig blocks = config.quantization.value_or(QuantizationConfig());
  return {(rows + blocks.block_rows - 1) / blocks.block_rows, (cols + blocks.block_cols - 1) / blocks.block_cols};
}

void MatchTensors(ModelConfig& config, const TensorFiles& files, ProblemList& problems, ProblemList& warnings) {
  Matcher(config, files, problems, warnings).Match();
}

}  // namespace tessera
