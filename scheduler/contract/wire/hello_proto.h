#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/contract/worker_port.h"
#include "tessera/internal/v1/worker.pb.h"

namespace tessera::wire {

namespace pb = ::tessera::internal::v1;

// Of the scheduler–worker stream. Raised by a change that an older peer would misread.
inline constexpr int32_t kWorkerProtocolVersion = 1;

// One setting that changes tokens or shapes, such as precision = bf16.
struct Setting {
  std::string name;
  std::string value;
  friend bool operator==(const Setting&, const Setting&) = default;
};

// What a scheduler thinks a worker is.
struct SchedulerHello {
  std::string build;
  int32_t num_ranks = 0;
  std::optional<int32_t> rank;  // nullopt: whichever it says
};

// What a worker is.
struct WorkerHello {
  std::string build;
  int32_t rank = 0;
  int32_t num_ranks = 0;
  std::string model_fingerprint;  // 16 bytes
  std::vector<Setting> settings;  // what must be equal on all ranks, in a fixed order
  WorkerLimits limits;
};

void ToProto(const SchedulerHello& hello, pb::SchedulerHello& out);
void ToProto(const WorkerHello& hello, pb::WorkerHello& out);

// FailedPrecondition for another protocol version; the other fields then mean nothing.
absl::StatusOr<SchedulerHello> FromProto(const pb::SchedulerHello& in);
absl::StatusOr<WorkerHello> FromProto(const pb::WorkerHello& in);

}  // namespace tessera::wire
