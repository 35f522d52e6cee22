#include "worker/checkpoint/problem_list.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tessera {
namespace {

// "model.layers.3.mlp.experts.17.up_proj.weight" → "model.layers.*.mlp.experts.*.up_proj.weight"
std::string Pattern(std::string_view name) {
  std::string pattern;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    const bool is_number = !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
      return std::isdigit(static_cast<unsigned char>(c)) != 0;
    });
    if (begin > 0) pattern += '.';
    pattern += is_number ? std::string_view("*") : part;
    begin = end + 1;
  }
  return pattern;
}

}  // namespace

void ProblemList::Add(std::string line) { entries_.push_back({.line = std::move(line)}); }

void ProblemList::AddTensor(std::string_view name, std::string_view what, std::string_view where) {
  std::string pattern = Pattern(name);
  const auto [found, is_new] = by_pattern_.try_emplace(pattern + '\n' + std::string(what), entries_.size());
  if (is_new) {
    entries_.push_back({.first = std::string(name),
                        .pattern = std::move(pattern),
                        .what = std::string(what),
                        .where = std::string(where)});
  }
  ++entries_[found->second].count;
}

std::vector<std::string> ProblemList::Lines() const {
  std::vector<std::string> lines;
  for (const Entry& entry : entries_) {
    const std::string where = entry.where.empty() ? "" : entry.where + ": ";
    if (entry.count == 0) {
      lines.push_back(entry.line);
    } else if (entry.count == 1) {
      lines.push_back(absl::StrFormat("%s'%s' %s", where, entry.first, entry.what));
    } else {
      lines.push_back(absl::StrFormat("%s'%s' %s (%d tensors; the first is '%s')", where, entry.pattern, entry.what,
                                      entry.count, entry.first));
    }
  }
  return lines;
}

}  // namespace tessera
