#include "scheduler/contract/wire/hello_proto.h"

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "scheduler/contract/wire/check_field.h"
#include "scheduler/contract/wire/worker_limits_proto.h"

namespace tessera::wire {
namespace {

constexpr int64_t kRanksMax = 1 << 16;
constexpr int64_t kTextBytesMax = 1024;
constexpr int64_t kSettingsMax = 64;
constexpr int64_t kFingerprintBytes = 16;

absl::Status CheckVersion(int32_t version, const std::string& build) {
  if (version == kWorkerProtocolVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat("protocol_version: got %d (build %s), wanted %d", version,
                                                       build.substr(0, 64), kWorkerProtocolVersion));
}

absl::Status CheckText(const char* field, const std::string& text) {
  TESSERA_RETURN_IF_ERROR(
      CheckRange(absl::StrFormat("%s: bytes", field), static_cast<int64_t>(text.size()), 0, kTextBytesMax));
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      return absl::InvalidArgumentError(absl::StrFormat("%s: got a control character, wanted one line of text", field));
    }
  }
  return absl::OkStatus();
}

}  // namespace

void ToProto(const SchedulerHello& hello, pb::SchedulerHello& out) {
  out.set_protocol_version(kWorkerProtocolVersion);
  out.set_build(hello.build);
  out.set_num_ranks(hello.num_ranks);
  if (hello.rank.has_value()) out.set_rank(*hello.rank);
}

void ToProto(const WorkerHello& hello, pb::WorkerHello& out) {
  out.set_protocol_version(kWorkerProtocolVersion);
  out.set_build(hello.build);
  out.set_rank(hello.rank);
  out.set_num_ranks(hello.num_ranks);
  out.set_model_fingerprint(hello.model_fingerprint);
  for (const Setting& setting : hello.settings) {
    pb::Setting& to = *out.add_settings();
    to.set_name(setting.name);
    to.set_value(setting.value);
  }
  ToProto(hello.limits, *out.mutable_limits());
}

absl::StatusOr<SchedulerHello> FromProto(const pb::SchedulerHello& in) {
  TESSERA_RETURN_IF_ERROR(CheckVersion(in.protocol_version(), in.build()));
  TESSERA_RETURN_IF_ERROR(CheckText("build", in.build()));
  TESSERA_RETURN_IF_ERROR(CheckRange("num_ranks", in.num_ranks(), 1, kRanksMax));
  SchedulerHello hello{.build = in.build(), .num_ranks = in.num_ranks()};
  if (in.has_rank()) {
    TESSERA_RETURN_IF_ERROR(CheckRange("rank", in.rank(), 0, in.num_ranks() - 1));
    hello.rank = in.rank();
  }
  return hello;
}

absl::StatusOr<WorkerHello> FromProto(const pb::WorkerHello& in) {
  TESSERA_RETURN_IF_ERROR(CheckVersion(in.protocol_version(), in.build()));
  TESSERA_RETURN_IF_ERROR(CheckText("build", in.build()));
  TESSERA_RETURN_IF_ERROR(CheckRange("num_ranks", in.num_ranks(), 1, kRanksMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("rank", in.rank(), 0, in.num_ranks() - 1));
  TESSERA_RETURN_IF_ERROR(CheckRange("model_fingerprint: bytes", static_cast<int64_t>(in.model_fingerprint().size()),
                                     kFingerprintBytes, kFingerprintBytes));
  TESSERA_RETURN_IF_ERROR(CheckRange("settings: number", in.settings_size(), 0, kSettingsMax));
  WorkerHello hello{
      .build = in.build(), .rank = in.rank(), .num_ranks = in.num_ranks(), .model_fingerprint = in.model_fingerprint()};
  for (const pb::Setting& setting : in.settings()) {
    TESSERA_RETURN_IF_ERROR(CheckText("settings: name", setting.name()));
    TESSERA_RETURN_IF_ERROR(CheckText("settings: value", setting.value()));
    hello.settings.push_back({.name = setting.name(), .value = setting.value()});
  }
  absl::StatusOr<WorkerLimits> limits = FromProto(in.limits());
  if (!limits.ok()) return Within("limits.", limits.status());
  hello.limits = *limits;
  return hello;
}

}  // namespace tessera::wire
