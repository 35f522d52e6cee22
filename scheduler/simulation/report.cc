#include "scheduler/simulation/report.h"

namespace tessera {
namespace {

void Count(const TraceRequest& asked, const RequestOutcome& outcome, ClientReport& report) {
  ++report.num_requests;
  if (!outcome.refused.ok()) {
    ++report.num_refused;
    return;
  }
  report.num_prompt_tokens += asked.prompt_tokens;
  report.num_cached_tokens += outcome.num_cached_tokens;
  report.num_generated_tokens += outcome.num_tokens;
  if (outcome.num_tokens > 0) {
    report.queue.Add(outcome.started - asked.arrival);
    report.ttft.Add(outcome.first_token - asked.arrival);
  }
  if (outcome.finish == FinishReason::kStop || outcome.finish == FinishReason::kLength) {
    ++report.num_completed;
    report.end_to_end.Add(outcome.end - asked.arrival);
  }
}

}  // namespace

double Report::PerSecond(int64_t count) const {
  const double seconds = absl::ToDoubleSeconds(duration);
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

double Report::Utilization(const GroupOutcome& group) const {
  return duration > absl::ZeroDuration() ? absl::FDivDuration(group.busy, duration) : 0;
}

Report MakeReport(const Trace& trace, const SimulationOutcome& outcome) {
  Report report;
  report.duration = outcome.end;
  report.all.name = "all";
  if (trace.clients.size() > 1) {
    for (const std::string& name : trace.clients) report.clients.push_back({.name = name});
  }
  for (size_t i = 0; i < trace.requests.size(); ++i) {
    const TraceRequest& asked = trace.requests[i];
    Count(asked, outcome.requests[i], report.all);
    if (!report.clients.empty()) {
      Count(asked, outcome.requests[i], report.clients[static_cast<size_t>(asked.client)]);
    }
  }
  report.itl = outcome.itl;
  for (const GroupOutcome& group : outcome.groups) {
    report.num_steps += group.status.num_steps;
    report.num_preemptions += group.status.num_preemptions;
  }
  report.groups = outcome.groups;
  return report;
}

}  // namespace tessera
