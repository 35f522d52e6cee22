#include "scheduler/simulation/step_cost.h"

#include <algorithm>
#include <array>
#include <string>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

absl::Status CheckDuration(const char* field, absl::Duration got, absl::Duration min) {
  if (got >= min && got < absl::Hours(1)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat("%s: got %s, wanted %s to one hour", field,
                                                    absl::FormatDuration(got), absl::FormatDuration(min)));
}

// One rank is one GPU with 40 GiB of latent cache (70,272 bytes a token). A cached token is read at 3 TB/s, as FlashMLA
// does on H800. The other figures are what is left of the published throughput; docs/simulator.md has the sums.
constexpr int32_t kGpuBlocks = 9549;

const std::array<CostPreset, 3>& Presets() {
  static const auto* const presets = new std::array<CostPreset, 3>{{
      {"h800",
       "DeepSeek's online system, per GPU: 4.0k computed prompt tok/s, 88 requests at 21 tok/s",
       {absl::Microseconds(30'000), absl::Microseconds(248), absl::Microseconds(83), absl::Microseconds(2'000),
        absl::Nanoseconds(23)},
       {1, kGpuBlocks, 64, 4096, 512, 163'840, 129'280}},
      {"h100",
       "SGLang on 12 nodes, per GPU: 6.5k prompt tok/s, 256 requests at 10.9 tok/s",
       {absl::Microseconds(35'000), absl::Microseconds(153), absl::Microseconds(175), absl::Microseconds(2'000),
        absl::Nanoseconds(23)},
       {1, kGpuBlocks, 64, 4096, 512, 163'840, 129'280}},
      {"cpu",
       "a 1.35 B checkpoint on two Zen 4 cores, as measured in docs/performance.md",
       {absl::Microseconds(12'000), absl::Microseconds(780), absl::Microseconds(3'400), absl::Microseconds(2'000),
        absl::Nanoseconds(1'300)},
       {1, 1024, 64, 2048, 256, 8192, 129'280}},
  }};
  return *presets;
}

}  // namespace

absl::Duration StepCost::Of(const StepWork& work) const {
  return step + work.num_prefill_tokens * prefill_token + work.num_decode_tokens * decode_token +
         work.num_draft_passes * draft_pass + work.num_cache_tokens * cache_token;
}

absl::Status Validate(const StepCost& cost) {
  TESSERA_RETURN_IF_ERROR(CheckDuration("step", cost.step, absl::Nanoseconds(1)));
  TESSERA_RETURN_IF_ERROR(CheckDuration("prefill_token", cost.prefill_token, absl::ZeroDuration()));
  TESSERA_RETURN_IF_ERROR(CheckDuration("decode_token", cost.decode_token, absl::ZeroDuration()));
  TESSERA_RETURN_IF_ERROR(CheckDuration("draft_pass", cost.draft_pass, absl::ZeroDuration()));
  return CheckDuration("cache_token", cost.cache_token, absl::ZeroDuration());
}

std::span<const CostPreset> CostPresets() { return Presets(); }

const CostPreset* FindCostPreset(std::string_view name) {
  const auto& presets = Presets();
  const auto found = std::find_if(presets.begin(), presets.end(), [&](const auto& one) { return one.name == name; });
  return found == presets.end() ? nullptr : &*found;
}

}  // namespace tessera
