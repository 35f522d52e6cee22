#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tessera {

// Faults of a checkpoint, one line each. The same fault of many tensors is one line: 'model.layers.*.mlp.gate.weight'.
class ProblemList {
 public:
  void Add(std::string line);

  // A fault of one tensor. Those with the same `what` whose names differ in numbers only become one line; `where` (a
  // file, or empty) is given for the first.
  void AddTensor(std::string_view name, std::string_view what, std::string_view where);

  std::vector<std::string> Lines() const;
  bool empty() const { return entries_.empty(); }

 private:
  struct Entry {
    std::string line;  // of a single fault, without a tensor; else empty
    std::string first, pattern, what, where;
    int64_t count = 0;
  };
  std::vector<Entry> entries_;
  std::unordered_map<std::string, size_t> by_pattern_;  // pattern and what → index in entries_
};

}  // namespace tessera
