#include "cmd/simulation_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "absl/strings/str_format.h"

namespace tessera {
namespace {

using nlohmann::ordered_json;

constexpr size_t kClientsShown = 16;

std::string Milliseconds(absl::Duration duration) {
  return absl::StrFormat("%.1f", absl::ToDoubleMilliseconds(duration));
}

double Percent(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

void PrintQuantiles(const char* name, const Quantiles& quantiles, std::ostream& out) {
  out << absl::StrFormat("  %-22s %11s %11s %11s %11s %11s\n", name, Milliseconds(quantiles.mean()),
                         Milliseconds(quantiles.At(0.5)), Milliseconds(quantiles.At(0.9)),
                         Milliseconds(quantiles.At(0.99)), Milliseconds(quantiles.max()));
}

void PrintClients(const Report& report, std::ostream& out) {
  out << "\nclient              requests  refused   tokens given   ttft p50 ms   ttft p99 ms\n";
  for (size_t i = 0; i < std::min(report.clients.size(), kClientsShown); ++i) {
    const ClientReport& client = report.clients[i];
    out << absl::StrFormat("  %-16s  %8d  %7d  %13d  %12s  %12s\n",
                           client.name.empty() ? "(none)" : client.name.substr(0, 16), client.num_requests,
                           client.num_refused, client.num_prompt_tokens + client.num_generated_tokens,
                           Milliseconds(client.ttft.At(0.5)), Milliseconds(client.ttft.At(0.99)));
  }
  if (report.clients.size() > kClientsShown) {
    out << absl::StrFormat("  … and %d more (--json has all)\n", report.clients.size() - kClientsShown);
  }
}

void PrintGroups(const Report& report, std::ostream& out) {
  out << "\ngroup     steps   busy   preempted   waiting max   running max   blocks max   cached prompt\n";
  for (size_t i = 0; i < report.groups.size(); ++i) {
    const GroupOutcome& group = report.groups[i];
    const EngineStatus& status = group.status;
    out << absl::StrFormat(
        "  %3d  %8d  %4.0f %%  %9d  %12d  %12d  %9.0f %%  %11.1f %%\n", i, status.num_steps,
        100 * report.Utilization(group), status.num_preemptions, group.waiting_max, group.running_max,
        Percent(group.blocks_used_max, status.num_blocks_total),
        Percent(status.num_cached_prompt_tokens, status.num_cached_prompt_tokens + status.num_prompt_tokens));
  }
}

ordered_json ToJson(const Quantiles& quantiles) {
  return {{"count", quantiles.count()},
          {"mean", absl::ToDoubleSeconds(quantiles.mean())},
          {"p50", absl::ToDoubleSeconds(quantiles.At(0.5))},
          {"p90", absl::ToDoubleSeconds(quantiles.At(0.9))},
          {"p99", absl::ToDoubleSeconds(quantiles.At(0.99))},
          {"max", absl::ToDoubleSeconds(quantiles.max())}};
}

ordered_json ToJson(const ClientReport& client) {
  return {{"name", client.name},
          {"requests", client.num_requests},
          {"refused", client.num_refused},
          {"completed", client.num_completed},
          {"prompt_tokens", client.num_prompt_tokens},
          {"cached_prompt_tokens", client.num_cached_tokens},
          {"generated_tokens", client.num_generated_tokens},
          {"queue_seconds", ToJson(client.queue)},
          {"ttft_seconds", ToJson(client.ttft)},
          {"end_to_end_seconds", ToJson(client.end_to_end)}};
}

ordered_json ToJson(const Report& report, const GroupOutcome& group) {
  const EngineStatus& status = group.status;
  return {{"steps", status.num_steps},
          {"utilization", report.Utilization(group)},
          {"preemptions", status.num_preemptions},
          {"waiting_max", group.waiting_max},
          {"running_max", group.running_max},
          {"blocks_used_max", group.blocks_used_max},
          {"blocks", status.num_blocks_total},
          {"computed_prompt_tokens", status.num_prompt_tokens},
          {"cached_prompt_tokens", status.num_cached_prompt_tokens},
          {"draft_tokens", status.num_draft_tokens}};
}

}  // namespace

void PrintTable(const Report& report, std::ostream& out) {
  const ClientReport& all = report.all;
  out << absl::StrFormat("%d requests in %.1f s: %d completed, %d refused, %d cut short by their client\n",
                         all.num_requests, absl::ToDoubleSeconds(report.duration), all.num_completed, all.num_refused,
                         all.num_requests - all.num_completed - all.num_refused);
  out << absl::StrFormat("throughput: %.2f requests/s, %.0f prompt tok/s (%.1f %% cached), %.0f generated tok/s\n\n",
                         report.PerSecond(all.num_completed), report.PerSecond(all.num_prompt_tokens),
                         Percent(all.num_cached_tokens, all.num_prompt_tokens),
                         report.PerSecond(all.num_generated_tokens));
  out << absl::StrFormat("  %-22s %11s %11s %11s %11s %11s\n", "milliseconds", "mean", "p50", "p90", "p99", "max");
  PrintQuantiles("queue", all.queue, out);
  PrintQuantiles("time to first token", all.ttft, out);
  PrintQuantiles("between tokens", report.itl, out);
  PrintQuantiles("whole answer", all.end_to_end, out);
  PrintGroups(report, out);
  if (!report.clients.empty()) PrintClients(report, out);
}

void PrintJson(const Report& report, std::ostream& out) {
  ordered_json json = {{"seconds", absl::ToDoubleSeconds(report.duration)},
                       {"completed_per_second", report.PerSecond(report.all.num_completed)},
                       {"prompt_tokens_per_second", report.PerSecond(report.all.num_prompt_tokens)},
                       {"generated_tokens_per_second", report.PerSecond(report.all.num_generated_tokens)},
                       {"steps", report.num_steps},
                       {"preemptions", report.num_preemptions},
                       {"itl_seconds", ToJson(report.itl)},
                       {"all", ToJson(report.all)},
                       {"clients", ordered_json::array()},
                       {"groups", ordered_json::array()}};
  for (const ClientReport& client : report.clients) json["clients"].push_back(ToJson(client));
  for (const GroupOutcome& group : report.groups) json["groups"].push_back(ToJson(report, group));
  // Names come from a file: bytes that are no UTF-8 are replaced.
  out << json.dump(2, ' ', false, ordered_json::error_handler_t::replace) << std::endl;
}

}  // namespace tessera
