#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/chat/marker_scanner.h"

namespace tessera {

// What the prompt says about reasoning.
enum class ReasoningMode {
  kOff,     // all output is answer, think markers are ordinary text (raw completions)
  kClosed,  // answer, unless the output itself opens with <think>
  kOpen,    // the prompt ended in <think>: reasoning until </think>
};

// Separates reasoning from answer. By prompt and output:
//   mode     structured  output                  → reasoning   answer
//   kClosed  any         y                         –           y
//   kClosed  any         <think>x</think>y         x           y
//   kOpen    any         x</think>y                x           y
//   kOpen    any         <think>x</think>y         x           y
//   kOpen    no          x (ended or cut)          x           –
//   kOpen    yes         {… or [… at the start     –           all of it: the model skipped thinking
// Later <think> and </think> are text of the answer. Trimmed, in any cut alike: one newline at the start of the
// reasoning, newlines right before </think>, newlines right after it. Nothing else.
class ReasoningParser {
 public:
  ReasoningParser(ReasoningMode mode, bool structured_output);

  // Takes one unit; appends reasoning to `reasoning` and the units of the answer to `answer`.
  void Push(const OutputUnit& unit, std::string& reasoning, std::vector<OutputUnit>& answer);

  // The output has ended: releases newlines held back at the end of reasoning that was cut.
  void Finish(std::string& reasoning, std::vector<OutputUnit>& answer);

  bool in_reasoning() const { return state_ == State::kReasoning || state_ == State::kReasoningStart; }

 private:
  enum class State {
    kStart,           // nothing seen: <think> may come
    kReasoningStart,  // in reasoning, none of its text seen
    kReasoning,
    kAnswerStart,  // after </think>: newlines are dropped
    kAnswer,
  };
  void PushReasoning(std::string_view text, std::string& reasoning);

  State state_;
  bool structured_output_;
  bool opened_by_prompt_;
  std::string held_;  // newlines that are dropped if </think> follows; or white space before the first text
};

}  // namespace tessera
