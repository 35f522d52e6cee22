#include "worker/checkpoint/parse_rope.h"

#include <cmath>

#include "absl/strings/str_format.h"

namespace tessera {
namespace {

constexpr double kThetaMin = 1.001;  // its logarithm divides
constexpr double kThetaMax = 1e12;

// "type" is DeepSeek's spelling, "rope_type" that of newer exports; some files have both.
std::string ScalingKind(ConfigFields& scaling) {
  const std::optional<std::string> type = scaling.String("type");
  const std::optional<std::string> rope_type = scaling.String("rope_type");
  if (type && rope_type && *type != *rope_type) {
    scaling.AddProblem("rope_type", absl::StrFormat("is '%s' but 'type' is '%s', wanted the same", *rope_type, *type));
  }
  return type.value_or(rope_type.value_or(""));
}

YarnParams ParseYarn(ConfigFields& scaling) {
  YarnParams yarn;
  if (!scaling.Has("factor")) scaling.AddProblem("factor", "is missing, wanted a number from 1");
  if (!scaling.Has("original_max_position_embeddings")) {
    scaling.AddProblem("original_max_position_embeddings", "is missing, wanted a number from 1");
  }
  yarn.factor = scaling.Number("factor", 1, 1e4).value_or(1);
  yarn.original_max_position_embeddings = scaling.Number("original_max_position_embeddings", 1, 1 << 27).value_or(4096);
  yarn.beta_fast = scaling.Number("beta_fast", 1e-3, 1e6).value_or(32);
  yarn.beta_slow = scaling.Number("beta_slow", 1e-3, 1e6).value_or(1);
  if (yarn.beta_fast < yarn.beta_slow) {
    scaling.AddProblem("beta_fast",
                       absl::StrFormat("is %g, wanted at least beta_slow, %g", yarn.beta_fast, yarn.beta_slow));
  }
  yarn.mscale = scaling.Number("mscale", 0, 100).value_or(0);
  yarn.mscale_all_dim = scaling.Number("mscale_all_dim", 0, 100).value_or(0);
  yarn.attention_factor = scaling.Number("attention_factor", 0, 100).value_or(0);
  return yarn;
}

void ParseScaling(ConfigFields& scaling, ModelConfig& config) {
  const std::string kind = ScalingKind(scaling);
  if (kind == "yarn") {
    config.yarn = ParseYarn(scaling);
  } else if (kind != "default") {
    scaling.AddProblem("type", absl::StrFormat("is '%s', wanted yarn or default", kind));
  }
}

// The frequencies are made for factor · original positions; config.json may name fewer, never more.
void LimitPositions(ConfigFields& fields, ModelConfig& config, ParsedConfig& result) {
  if (!config.yarn) {
    if (config.max_position_embeddings == 0 && !fields.Has("max_position_embeddings")) {
      fields.AddProblem("max_position_embeddings", "is missing, wanted the context length");
    }
    return;
  }
  const double covered = std::floor(config.yarn->factor * config.yarn->original_max_position_embeddings);
  const auto limit = static_cast<int32_t>(std::min(covered, double{1 << 27}));
  if (config.max_position_embeddings > limit) {
    result.notes.push_back(
        absl::StrFormat("config.json: 'max_position_embeddings' is %d; the context ends at %d, factor · "
                        "original_max_position_embeddings",
                        config.max_position_embeddings, limit));
  }
  if (config.max_position_embeddings == 0 || config.max_position_embeddings > limit) {
    config.max_position_embeddings = limit;
  }
}

}  // namespace

void ParseRope(ConfigFields& fields, ModelConfig& config, ParsedConfig& result) {
  std::optional<double> theta = fields.Number("rope_theta", kThetaMin, kThetaMax);
  const std::string name = fields.Has("rope_scaling") ? "rope_scaling" : "rope_parameters";
  if (const nlohmann::json* object = fields.Object(name)) {
    ConfigFields scaling(*object, "config.json: " + name, result.problems);
    if (const std::optional<double> inner = scaling.Number("rope_theta", kThetaMin, kThetaMax)) theta = inner;
    ParseScaling(scaling, config);
  }
  config.rope_theta = theta.value_or(10000);
  LimitPositions(fields, config, result);
}

}  // namespace tessera
