#include "worker/exchange/testing/rank_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "base/check.h"

namespace tessera {

RankProcess::RankProcess(const std::function<void(const Say&)>& body) {
  std::array<int, 2> ends{};
  TESSERA_CHECK(::pipe2(ends.data(), O_CLOEXEC) == 0);
  process_ = ::fork();
  TESSERA_CHECK(process_ >= 0);
  if (process_ == 0) {
    body([&](const std::string& line) {
      const std::string text = line + "\n";
      TESSERA_CHECK(::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    });
    ::_exit(0);
  }
  ::close(ends[1]);
  output_ = ends[0];
}

RankProcess::~RankProcess() {
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
  ::close(output_);
}

std::optional<std::string> RankProcess::NextLine(absl::Duration timeout) {
  while (true) {
    if (const size_t end = unread_.find('\n'); end != std::string::npos) {
      std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    pollfd wanted = {.fd = output_, .events = POLLIN, .revents = 0};
    if (::poll(&wanted, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout))) <= 0) return std::nullopt;
    std::array<char, 4096> buffer;
    const ssize_t count = ::read(output_, buffer.data(), buffer.size());
    if (count <= 0) return std::nullopt;
    unread_.append(buffer.data(), static_cast<size_t>(count));
  }
}

void RankProcess::Signal(int signal) { TESSERA_CHECK(::kill(process_, signal) == 0); }

}  // namespace tessera
