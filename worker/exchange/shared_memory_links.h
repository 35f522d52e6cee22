#pragma once

#include <memory>
#include <vector>

#include "worker/exchange/fault.h"
#include "worker/exchange/rank_links.h"
#include "worker/exchange/segment.h"

namespace tessera {

// Tells whether another process lives, whatever happens to its id. Movable, owns a descriptor.
class ProcessWatch {
 public:
  ProcessWatch() = default;  // of a thread of this process: always alive
  static absl::StatusOr<ProcessWatch> Open(int32_t process);
  ProcessWatch(ProcessWatch&& other) noexcept;
  ProcessWatch& operator=(ProcessWatch&& other) noexcept;
  ~ProcessWatch();

  bool has_ended() const;
  int32_t process() const { return process_; }

 private:
  int32_t process_ = 0;
  int file_descriptor_ = -1;
};

// Another rank on this host.
struct Neighbour {
  int32_t rank = 0;
  std::shared_ptr<const Segment> segment;
  ProcessWatch process;
};

// Links to the ranks of this host: a message is read where its sender wrote it, in the sender's segment. A neighbour
// that dies, aborts or does not come in time ends the wait with an error. `mine` is this rank's segment; `fault`
// outlives the links and ends waits too. With `spin` a short wait costs no system call, for hosts with a core for every
// rank.
std::unique_ptr<RankLinks> MakeSharedMemoryLinks(int32_t rank, std::shared_ptr<Segment> mine,
                                                 std::vector<Neighbour> neighbours, bool spin, const Fault& fault);

}  // namespace tessera
