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
// A </think> that comes first of all in kClosed is dropped; later <think> and </think> are text of the answer. Trimmed,
// in any cut alike: one newline at the start of the reasoning, newlines right before </think>, newlines right after it,
// and white space before a <think>. Nothing else.
class ReasoningParser {
 public:
  ReasoningParser(ReasoningMode mode, bool structured_output);

  // Takes one unit; appends reasoning to `reasoning` and the units of the answer to `answer`.
  void Push(const OutputUnit& unit, std::string& reasoning, std::vector<OutputUnit>& answer);

  // The output has ended: releases newlines held back at the end of reasoning that was cut.
  void Finish(std::string& reasoning, std::vector<OutputUnit>& answer);

  bool in_reasoning() const { return state_ == State::kReasoning || state_ == State::kReasoningStart; }
  // The prompt opened reasoning, but the model went straight to structured output.
  bool skipped() const { return skipped_; }

 private:
  enum class State {
    kStart,           // nothing seen: <think> may come
    kReasoningStart,  // in reasoning, none of its text seen
    kReasoning,
    kAnswerStart,  // after </think>: newlines are dropped
    kAnswer,
  };
  void PushStart(const OutputUnit& unit, std::vector<OutputUnit>& answer);
  void PushReasoningStart(const OutputUnit& unit, std::string& reasoning, std::vector<OutputUnit>& answer);
  void PushReasoning(const OutputUnit& unit, std::string& reasoning);

  State state_;
  bool structured_output_;
  bool may_drop_think_begin_;  // the prompt has opened reasoning, so a <think> at the start repeats it
  bool skipped_ = false;
  std::string held_;  // white space before the first text; in kReasoning newlines, dropped if </think> follows
};

}  // namespace tessera
