#include "scheduler/contract/wire/status_proto.h"

#include <string>
#include <string_view>

#include "absl/strings/str_format.h"

namespace tessera::wire {
namespace {

constexpr size_t kMessageBytesMax = 4096;

// Only printable ASCII stays: a proto string must be UTF-8, and a log line one line.
std::string Printable(std::string_view text) {
  std::string out(text.substr(0, kMessageBytesMax));
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || byte >= 0x80) c = '?';
  }
  return out;
}

}  // namespace

void ToProto(const absl::Status& status, pb::Status& out) {
  out.set_code(static_cast<int32_t>(status.code()));
  out.set_message(Printable({status.message().data(), status.message().size()}));
}

absl::Status FromProto(const pb::Status& in) {
  constexpr auto kFirst = static_cast<int32_t>(absl::StatusCode::kOk);
  constexpr auto kLast = static_cast<int32_t>(absl::StatusCode::kUnauthenticated);
  const bool is_known = in.code() >= kFirst && in.code() <= kLast;
  return absl::Status(is_known ? static_cast<absl::StatusCode>(in.code()) : absl::StatusCode::kUnknown,
                      Printable(in.message()));
}

pb::FinishReason ToProto(const std::optional<FinishReason>& finish) {
  if (!finish.has_value()) return pb::FINISH_REASON_UNSPECIFIED;
  switch (*finish) {
    case FinishReason::kStop:
      return pb::FINISH_REASON_STOP;
    case FinishReason::kLength:
      return pb::FINISH_REASON_LENGTH;
    case FinishReason::kCancelled:
      return pb::FINISH_REASON_CANCELLED;
    case FinishReason::kDeadline:
      return pb::FINISH_REASON_DEADLINE;
    case FinishReason::kError:
      return pb::FINISH_REASON_ERROR;
  }
  return pb::FINISH_REASON_UNSPECIFIED;
}

absl::StatusOr<std::optional<FinishReason>> FromProto(pb::FinishReason in) {
  switch (in) {
    case pb::FINISH_REASON_UNSPECIFIED:
      return std::optional<FinishReason>();
    case pb::FINISH_REASON_STOP:
      return std::optional(FinishReason::kStop);
    case pb::FINISH_REASON_LENGTH:
      return std::optional(FinishReason::kLength);
    case pb::FINISH_REASON_CANCELLED:
      return std::optional(FinishReason::kCancelled);
    case pb::FINISH_REASON_DEADLINE:
      return std::optional(FinishReason::kDeadline);
    case pb::FINISH_REASON_ERROR:
      return std::optional(FinishReason::kError);
    default:
      return absl::InvalidArgumentError(
          absl::StrFormat("finish: got %d, wanted 0 to %d", static_cast<int>(in), pb::FINISH_REASON_ERROR));
  }
}

}  // namespace tessera::wire
