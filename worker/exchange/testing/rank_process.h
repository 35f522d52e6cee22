#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace tessera {

// For tests: a child process that says things in lines. Killed with its owner if it still lives.
class RankProcess {
 public:
  using Say = std::function<void(const std::string& line)>;

  // Forks; the child runs body(say) and exits. Requires: this process has one thread.
  explicit RankProcess(const std::function<void(const Say&)>& body);
  ~RankProcess();
  RankProcess(const RankProcess&) = delete;
  RankProcess& operator=(const RankProcess&) = delete;

  // Its next line; nothing if it has ended or says nothing for `timeout`.
  std::optional<std::string> NextLine(absl::Duration timeout);

  void Signal(int signal);  // SIGKILL, SIGSTOP, SIGCONT

 private:
  pid_t process_ = -1;
  int output_ = -1;
  std::string unread_;
};

}  // namespace tessera
