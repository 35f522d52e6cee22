#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <vector>

#include "server/groups/group_router.h"

namespace tessera {

// Reads the router at each scrape and shows each group on its own. What a group says of itself is the same at every
// server; what this server sent it and moved away from it is not. Thread-safe.
class GroupCollector final : public prometheus::Collectable {
 public:
  // `router` must outlive this object.
  explicit GroupCollector(const GroupRouter& router) : router_(router) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const GroupRouter& router_;
};

}  // namespace tessera
