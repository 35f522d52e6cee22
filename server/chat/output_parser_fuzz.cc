// Any bytes as a model's output, in one piece and in two: the events joined must be the same. Input: a byte of options,
// a byte for the place of the cut, the output.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "server/chat/output_parser.h"

namespace {

using tessera::OutputEvent;

std::string Join(const std::vector<OutputEvent>& events) {
  std::string reasoning;
  std::string content;
  std::string calls;
  for (const OutputEvent& event : events) {
    if (event.kind == OutputEvent::Kind::kReasoning) reasoning += event.text;
    if (event.kind == OutputEvent::Kind::kContent) content += event.text;
    if (event.kind == OutputEvent::Kind::kToolCallStart) absl::StrAppend(&calls, "\x1f", event.name, "\x1e");
    if (event.kind == OutputEvent::Kind::kToolArguments) calls += event.text;
  }
  return absl::StrCat(reasoning, "\x1d", content, "\x1d", calls);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tessera;
  if (size < 2) return 0;
  OutputParserOptions options;
  options.reasoning = static_cast<ReasoningMode>(data[0] % 3);
  options.structured_output = (data[0] & 4) != 0;
  if ((data[0] & 8) != 0) options.tool_calls = (data[0] & 16) != 0 ? ToolCallSyntax::kBare : ToolCallSyntax::kFenced;
  if ((data[0] & 32) != 0) options.stops = *StopStrings::Create({"STOP", "aab", "ab", "\n\n"});
  const std::string_view output(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t cut = output.empty() ? 0 : data[1] * output.size() / 256;

  OutputParser whole(options);
  std::vector<OutputEvent> whole_events;
  whole.PushText(output, whole_events);
  whole.Finish(whole_events);
  OutputParser pieces(options);
  std::vector<OutputEvent> piece_events;
  pieces.PushText(output.substr(0, cut), piece_events);
  pieces.PushText(output.substr(cut), piece_events);
  pieces.Finish(piece_events);
  TESSERA_CHECK(Join(whole_events) == Join(piece_events));
  TESSERA_CHECK(whole.finished_in_tool_calls() == pieces.finished_in_tool_calls());
  return 0;
}
