#pragma once

#include <iosfwd>
#include <string>

#include "absl/status/statusor.h"
#include "scheduler/simulation/trace.h"

namespace tessera {

enum class TraceFormat { kCsv, kJsonLines };

// Reads a trace: a line a request, CSV with a header line or one JSON object a line. Columns or members, in any order:
//   arrival_s, prompt_tokens, output_tokens                               needed
//   max_tokens (default: output_tokens), prefix, prefix_tokens, client, priority, cancel_after_s
// `prefix` and `client` are any text; equal texts are the same. Requests are sorted by arrival. A message names the
// line, the field, what it got and what it wanted.
absl::StatusOr<Trace> ReadTrace(std::istream& in, TraceFormat format);

// Reads a file; its name's end (.csv, .jsonl) tells the format.
absl::StatusOr<Trace> ReadTraceFile(const std::string& path);

// Writes CSV that ReadTrace() reads back.
void WriteTrace(const Trace& trace, std::ostream& out);

}  // namespace tessera
