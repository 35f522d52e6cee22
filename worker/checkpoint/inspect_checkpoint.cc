#include "worker/checkpoint/inspect_checkpoint.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "worker/checkpoint/check_checkpoint.h"
#include "worker/checkpoint/parse_model_config.h"

namespace tessera {
namespace {

double GiB(int64_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

// "671.03 B", "524.3 K": four digits that matter, whatever the size.
std::string Count(int64_t count) {
  const auto value = static_cast<double>(count);
  if (value >= 1e9) return absl::StrFormat("%.2f B", value / 1e9);
  if (value >= 1e6) return absl::StrFormat("%.2f M", value / 1e6);
  if (value >= 1e3) return absl::StrFormat("%.2f K", value / 1e3);
  return absl::StrFormat("%d", count);
}

std::string Size(int64_t bytes) {
  if (bytes >= int64_t{100} << 20) return absl::StrFormat("%.2f GiB", GiB(bytes));
  if (bytes >= int64_t{100} << 10) return absl::StrFormat("%.2f MiB", GiB(bytes) * 1024);
  return absl::StrFormat("%.2f KiB", GiB(bytes) * 1024 * 1024);
}

int32_t CountMoeLayers(const ModelConfig& config) {
  int32_t count = 0;
  for (int32_t layer = 0; layer < config.num_hidden_layers; ++layer) count += config.IsMoeLayer(layer) ? 1 : 0;
  return count;
}

std::string DescribeWeights(const ModelConfig& config) {
  if (!config.quantization) return config.dtype.empty() ? "weights of unnamed dtype" : config.dtype + " weights";
  return absl::StrFormat("FP8 (E4M3) weights in blocks of %d × %d%s", config.quantization->block_rows,
                         config.quantization->block_cols,
                         config.quantization->power_of_two_scales ? ", scales powers of two" : "");
}

void AppendModel(const ModelConfig& c, std::string& text) {
  absl::StrAppendFormat(&text, "  %s (%s), %s\n", c.architecture, c.model_type, DescribeWeights(c));
  absl::StrAppendFormat(&text, "  %d layers, hidden size %d, %d heads, context %d, vocabulary %d\n",
                        c.num_hidden_layers, c.hidden_size, c.num_attention_heads, c.max_position_embeddings,
                        c.vocab_size);
  if (c.n_routed_experts > 0) {
    absl::StrAppendFormat(&text, "  %d layers with %d experts, %d chosen for a token, %d shared; MTP modules: %d\n",
                          CountMoeLayers(c), c.n_routed_experts, c.router.num_experts_per_tok, c.n_shared_experts,
                          c.num_nextn_predict_layers);
  }
}

void AppendSizes(const CheckpointInspection& inspection, std::string& text) {
  const ModelSizes& sizes = inspection.sizes;
  absl::StrAppendFormat(&text, "\n  %-24s %12s %14s\n", "part", "parameters",
                        inspection.is_measured ? "stored" : "estimated");
  const auto append = [&](std::string_view name, const PartSize& part) {
    if (part.parameters == 0) return;
    absl::StrAppendFormat(&text, "  %-24s %12s %14s\n", name, Count(part.parameters), Size(part.bytes));
  };
  for (int i = 0; i < kNumModelParts; ++i) {
    append(ToString(static_cast<ModelPart>(i)), sizes.main[static_cast<size_t>(i)]);
  }
  append("total", sizes.MainTotal());
  append("MTP module", sizes.MtpTotal());
  absl::StrAppendFormat(&text, "  %-24s %12s\n", "active for a token", Count(sizes.active_parameters));
}

void AppendCache(const CheckpointInspection& inspection, std::string& text) {
  const ModelSizes& sizes = inspection.sizes;
  absl::StrAppendFormat(&text, "\n  latent cache: %d bytes a token (BF16)", sizes.cache_bytes_per_token);
  if (inspection.config.num_nextn_predict_layers > 0) {
    absl::StrAppendFormat(&text, ", %d more with MTP", sizes.mtp_cache_bytes_per_token);
  }
  absl::StrAppendFormat(&text, "; a sequence of %d tokens: %s\n", inspection.config.max_position_embeddings,
                        Size(sizes.cache_bytes_per_token * inspection.config.max_position_embeddings));
}

void AppendFit(const CheckpointInspection& inspection, std::string& text) {
  const bool with_memory = inspection.fit_request.memory_bytes > 0;
  absl::StrAppendFormat(&text, "\n  %6s %18s", "ranks", "weights per rank");
  if (with_memory) {
    absl::StrAppendFormat(&text, " %16s %18s   with %s a rank, %.0f %% of it used", "cache per rank", "cached tokens",
                          Size(inspection.fit_request.memory_bytes), inspection.fit_request.usable * 100);
  }
  text += "\n";
  for (const FitRow& row : inspection.fit) {
    if (!row.divides) {
      absl::StrAppendFormat(&text, "  %6d %18s\n", row.ranks, "does not divide the experts");
      continue;
    }
    absl::StrAppendFormat(&text, "  %6d %18s", row.ranks, Size(row.weight_bytes_per_rank));
    if (with_memory && row.fits) {
      absl::StrAppendFormat(&text, " %16s %18d", Size(row.cache_bytes_per_rank), row.cache_tokens);
    } else if (with_memory) {
      absl::StrAppendFormat(&text, " %16s", "does not fit");
    }
    text += "\n";
  }
}

nlohmann::json ToJsonObject(const std::array<PartSize, kNumModelParts>& parts) {
  nlohmann::json object = nlohmann::json::object();
  for (int i = 0; i < kNumModelParts; ++i) {
    const PartSize& part = parts[static_cast<size_t>(i)];
    object[std::string(ToString(static_cast<ModelPart>(i)))] = {{"parameters", part.parameters}, {"bytes", part.bytes}};
  }
  return object;
}

nlohmann::json ToJsonObject(const FitRow& row, bool with_memory) {
  nlohmann::json object = {{"ranks", row.ranks}, {"divides_experts", row.divides}};
  if (row.divides) object["weight_bytes_per_rank"] = row.weight_bytes_per_rank;
  if (row.divides && with_memory) {
    object["fits"] = row.fits;
    object["cache_bytes_per_rank"] = row.cache_bytes_per_rank;
    object["cache_tokens"] = row.cache_tokens;
  }
  return object;
}

}  // namespace

absl::StatusOr<CheckpointInspection> InspectCheckpoint(const std::string& path, const FitRequest& request) {
  CheckpointInspection inspection;
  inspection.path = path;
  inspection.fit_request = request;
  struct stat info = {};
  const bool is_folder = stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  CheckpointHeaders headers;
  if (is_folder) headers = ReadCheckpointHeaders(path);
  inspection.is_measured = is_folder && headers.problems.empty();
  if (inspection.is_measured) {
    inspection.config = *headers.config;
    inspection.warnings = headers.warnings;
  } else {
    TESSERA_ASSIGN_OR_RETURN(inspection.config, ReadModelConfig(path));
    if (is_folder) {
      inspection.warnings.push_back(absl::StrFormat(
          "%s: its weights cannot be served (%d errors, `tessera check` lists them): sizes are estimated from "
          "config.json",
          path, headers.problems.size()));
    }
  }
  inspection.sizes = ComputeSizes(inspection.config, inspection.is_measured ? &headers.files : nullptr);
  inspection.fit = FitTable(inspection.config, inspection.sizes, request);
  return inspection;
}

std::string ToText(const CheckpointInspection& inspection) {
  std::string text = inspection.path + "\n";
  AppendModel(inspection.config, text);
  AppendSizes(inspection, text);
  AppendCache(inspection, text);
  AppendFit(inspection, text);
  for (const std::string& line : inspection.warnings) absl::StrAppend(&text, "warning: ", line, "\n");
  return text;
}

std::string ToJson(const CheckpointInspection& inspection) {
  const ModelConfig& config = inspection.config;
  const ModelSizes& sizes = inspection.sizes;
  nlohmann::json fit = nlohmann::json::array();
  for (const FitRow& row : inspection.fit) fit.push_back(ToJsonObject(row, inspection.fit_request.memory_bytes > 0));
  const nlohmann::json object = {
      {"path", inspection.path},
      {"architecture", config.architecture},
      {"model_type", config.model_type},
      {"quantization", config.quantization ? "fp8" : "none"},
      {"dtype", config.dtype},
      {"layers", config.num_hidden_layers},
      {"moe_layers", CountMoeLayers(config)},
      {"experts", config.n_routed_experts},
      {"mtp_modules", config.num_nextn_predict_layers},
      {"context_length", config.max_position_embeddings},
      {"vocab_size", config.vocab_size},
      {"measured", inspection.is_measured},
      {"parameters", sizes.MainTotal().parameters},
      {"active_parameters", sizes.active_parameters},
      {"bytes", sizes.MainTotal().bytes},
      {"parts", ToJsonObject(sizes.main)},
      {"mtp", {{"parameters", sizes.MtpTotal().parameters}, {"bytes", sizes.MtpTotal().bytes}}},
      {"cache_bytes_per_token", sizes.cache_bytes_per_token},
      {"mtp_cache_bytes_per_token", config.num_nextn_predict_layers > 0 ? sizes.mtp_cache_bytes_per_token : 0},
      {"fit", fit},
      {"warnings", inspection.warnings}};
  return object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace tessera
