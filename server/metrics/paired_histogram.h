#pragma once

#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>
#include <string>

namespace tessera {

// One measurement under two names: ours, and the one that dashboards made for vLLM read. Thread-safe.
class PairedHistogram {
 public:
  PairedHistogram(prometheus::Registry& registry, const std::map<std::string, std::string>& labels,
                  const std::string& own_name, const std::string& vllm_name, const std::string& help,
                  const prometheus::Histogram::BucketBoundaries& bounds)
      : own_(Build(registry, labels, own_name, help, bounds)),
        vllm_(Build(registry, labels, vllm_name, help, bounds)) {}

  void Observe(double value) {
    own_.Observe(value);
    vllm_.Observe(value);
  }

 private:
  static prometheus::Histogram& Build(prometheus::Registry& registry, const std::map<std::string, std::string>& labels,
                                      const std::string& name, const std::string& help,
                                      const prometheus::Histogram::BucketBoundaries& bounds) {
    return prometheus::BuildHistogram().Name(name).Help(help).Labels(labels).Register(registry).Add({}, bounds);
  }

  prometheus::Histogram& own_;
  prometheus::Histogram& vllm_;
};

}  // namespace tessera
