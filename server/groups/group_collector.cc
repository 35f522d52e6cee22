#include "server/groups/group_collector.h"

#include <functional>
#include <utility>

#include "server/groups/group_choice.h"

namespace tessera {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

struct GroupMetric {
  const char* name;
  const char* help;
  MetricType type;
  std::function<double(const GroupSnapshot&)> value;
};

std::vector<GroupMetric> GroupMetrics() {
  return {
      {"tessera_group_ready", "1 when the group can serve", MetricType::Gauge,
       [](const GroupSnapshot& group) { return group.status.ready ? 1.0 : 0.0; }},
      {"tessera_group_requests_waiting", "Requests that wait in the group, from all servers", MetricType::Gauge,
       [](const GroupSnapshot& group) { return static_cast<double>(group.status.num_waiting); }},
      {"tessera_group_requests_running", "Requests that run in the group, from all servers", MetricType::Gauge,
       [](const GroupSnapshot& group) { return static_cast<double>(group.status.num_running); }},
      {"tessera_group_load_tokens", "Work that waits or runs on one rank, in tokens: what requests are routed by",
       MetricType::Gauge, [](const GroupSnapshot& group) { return LoadOf(group.status, group.limits.num_ranks); }},
      {"tessera_group_cache_blocks_used", "Cache blocks that sequences hold, over the group's ranks", MetricType::Gauge,
       [](const GroupSnapshot& group) { return static_cast<double>(group.status.num_blocks_used); }},
      {"tessera_group_requests_open", "Requests of this server that the group has", MetricType::Gauge,
       [](const GroupSnapshot& group) { return static_cast<double>(group.num_open); }},
      {"tessera_group_requests_sent_total", "Requests that this server sent to the group", MetricType::Counter,
       [](const GroupSnapshot& group) { return static_cast<double>(group.num_sent); }},
      {"tessera_group_requests_moved_away_total", "Requests that went on elsewhere because the group failed",
       MetricType::Counter, [](const GroupSnapshot& group) { return static_cast<double>(group.num_moved_away); }},
  };
}

}  // namespace

std::vector<MetricFamily> GroupCollector::Collect() const {
  const std::vector<GroupSnapshot> groups = router_.Groups();
  std::vector<MetricFamily> families;
  for (const GroupMetric& metric : GroupMetrics()) {
    MetricFamily family{.name = metric.name, .help = metric.help, .type = metric.type};
    for (const GroupSnapshot& group : groups) {
      ClientMetric& sample = family.metric.emplace_back();
      sample.label.push_back({"group", group.name});
      (metric.type == MetricType::Counter ? sample.counter.value : sample.gauge.value) = metric.value(group);
    }
    families.push_back(std::move(family));
  }
  MetricFamily moves{
      .name = "tessera_requests_moved_total", .help = "Moves of requests between groups", .type = MetricType::Counter};
  moves.metric.emplace_back().counter.value = static_cast<double>(router_.num_moves());
  families.push_back(std::move(moves));
  return families;
}

}  // namespace tessera
