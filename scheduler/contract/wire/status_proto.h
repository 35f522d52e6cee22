#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "scheduler/contract/finish_reason.h"
#include "tessera/internal/v1/contract.pb.h"

namespace tessera::wire {

namespace pb = ::tessera::internal::v1;

// Long messages are cut: they are for people.
void ToProto(const absl::Status& status, pb::Status& out);

// The status that a peer reports. A code that does not exist becomes Unknown; what is not text is replaced.
absl::Status FromProto(const pb::Status& in);

pb::FinishReason ToProto(const std::optional<FinishReason>& finish);

// InvalidArgument for a value that does not exist.
absl::StatusOr<std::optional<FinishReason>> FromProto(pb::FinishReason in);

}  // namespace tessera::wire
