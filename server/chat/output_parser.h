#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "server/chat/marker_scanner.h"
#include "server/chat/reasoning_parser.h"
#include "server/chat/tool_call_parser.h"
#include "server/tokenizer/stop_matcher.h"

namespace tessera {

// One piece of an answer as a client sees it.
struct OutputEvent {
  enum class Kind {
    kReasoning,      // text: append to reasoning_content
    kContent,        // text: append to content
    kToolCallStart,  // tool_index, call_id, name; once per call, before its arguments
    kToolArguments,  // tool_index, text: append to the call's arguments
  };
  Kind kind = Kind::kContent;
  std::string text;
  int tool_index = 0;
  std::string call_id;
  std::string name;

  friend bool operator==(const OutputEvent&, const OutputEvent&) = default;
};

struct OutputParserOptions {
  OutputMarkers markers;
  ReasoningMode reasoning = ReasoningMode::kOff;
  bool structured_output = false;  // the answer is constrained to JSON: it must end in content (see reasoning_parser.h)
  std::optional<ToolCallSyntax> tool_calls;  // nullopt: tool markers are ordinary text
  bool strip_leading_space = false;          // V2: the model writes " text" after "Assistant:"
  std::shared_ptr<const StopStrings> stops;  // matched on content only: not on reasoning, tool calls or the prompt
  bool include_stop = false;                 // the stop itself belongs to the content
  std::function<std::string(int tool_index)> make_call_id;  // default: call_<index>
};

// Takes one answer apart into reasoning, content and tool calls. One implementation for streamed and whole answers: the
// events joined are the same for every cut of the output into pieces. One per answer; not thread-safe.
//   parser.Push(id, decoder.Push(id), events);  …  parser.PushText(decoder.Flush(), events); parser.Finish(events);
class OutputParser {
 public:
  explicit OutputParser(OutputParserOptions options);

  // `text` is what StreamDecoder gave for the token `id`; for a control token it ends in the token's own text or is
  // empty. Appends to `events`. Returns true once a stop string has matched: cancel the generation, then Finish.
  bool Push(TokenId id, std::string_view text, std::vector<OutputEvent>& events);

  // Text without a token: the decoder's last flush, or output that is known as text only.
  bool PushText(std::string_view text, std::vector<OutputEvent>& events);

  // The answer has ended. Releases all that was held back.
  void Finish(std::vector<OutputEvent>& events);

  const std::optional<StopMatch>& stop_match() const { return stop_matcher_.match(); }
  int num_tool_calls() const { return tool_calls_.num_calls(); }
  // Some call was made and none was left open: finish_reason tool_calls (unless cut by length).
  bool finished_in_tool_calls() const { return tool_calls_.num_calls() > 0 && !tool_calls_.has_open_call(); }
  bool in_reasoning() const { return reasoning_.in_reasoning(); }
  // Tokens up to and including </think>, a <think> of the output too.
  int64_t num_reasoning_tokens() const { return reasoning_.skipped() ? 0 : num_reasoning_tokens_; }

 private:
  void HandleUnits(std::vector<OutputEvent>& events);
  void HandleAnswer(const OutputUnit& unit, std::vector<OutputEvent>& events);
  void HandleToolEvents(std::vector<OutputEvent>& events);
  void EmitContent(std::string_view text, std::vector<OutputEvent>& events);
  void FlushContent(std::vector<OutputEvent>& events);
  void AppendContent(std::string text, bool is_stopped, std::vector<OutputEvent>& events);

  OutputParserOptions options_;
  MarkerScanner scanner_;
  ReasoningParser reasoning_;
  ToolCallParser tool_calls_;
  StopMatcher stop_matcher_;
  bool at_start_of_content_ = true;
  int64_t num_reasoning_tokens_ = 0;
  std::vector<OutputUnit> units_;  // work space of one call
  std::vector<ToolCallEvent> tool_events_;
};

}  // namespace tessera
