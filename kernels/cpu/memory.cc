#include "kernels/cpu/memory.h"

#include <sys/mman.h>

#include <algorithm>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, bytes) static_cast<void>(0)
#define ASAN_UNPOISON_MEMORY_REGION(memory, bytes) static_cast<void>(0)
#endif

namespace tessera::cpu {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kLine = 64;
constexpr int64_t kPieceBytes = 16 * kHugePage;

int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

Buffer::Buffer(int64_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  const auto mapped = static_cast<size_t>(bytes >= kHugePage ? RoundUp(bytes, kHugePage) : RoundUp(bytes, 4096));
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  TESSERA_CHECK(memory != MAP_FAILED);
  if (bytes >= kHugePage) madvise(memory, mapped, MADV_HUGEPAGE);  // a wish: refused, it is only slower
  memory_ = std::unique_ptr<char, Unmap>(static_cast<char*>(memory), Unmap{mapped});
}

void Buffer::Unmap::operator()(char* memory) const {
  ASAN_UNPOISON_MEMORY_REGION(memory, mapped_bytes);
  munmap(memory, mapped_bytes);
}

void Arena::Reset() {
  if (buffers_.size() > 1) {
    buffers_.clear();
    buffers_.emplace_back(peak_ + peak_ / 4);  // some room, so that slowly growing shapes do not map each time
  }
  if (!buffers_.empty())
    ASAN_POISON_MEMORY_REGION(buffers_.back().data(), static_cast<size_t>(buffers_.back().bytes()));
  used_ = 0;
  total_ = 0;
  peak_ = 0;
}

void Arena::Release(Mark mark) {
  if (buffers_.empty() || mark.num_buffers != buffers_.size())
    return;  // a new piece was begun meanwhile: kept until Reset
  ASAN_POISON_MEMORY_REGION(buffers_.back().data() + mark.used, static_cast<size_t>(used_ - mark.used));
  total_ -= used_ - mark.used;
  used_ = mark.used;
}

char* Arena::TakeBytes(int64_t wanted) {
  // With AddressSanitizer at least a byte between pieces stays poisoned: a loop that runs past its piece is caught.
  const int64_t bytes = RoundUp(wanted + 1, kLine);
  if (buffers_.empty() || used_ + bytes > buffers_.back().bytes()) {
    buffers_.emplace_back(std::max(bytes, int64_t{1} << 16));
    ASAN_POISON_MEMORY_REGION(buffers_.back().data(), static_cast<size_t>(buffers_.back().bytes()));
    used_ = 0;
  }
  char* memory = buffers_.back().data() + used_;
  ASAN_UNPOISON_MEMORY_REGION(memory, static_cast<size_t>(wanted));
  used_ += bytes;
  total_ += bytes;
  peak_ = std::max(peak_, total_);
  return memory;
}

std::shared_ptr<char> WeightMemory::Take(int64_t bytes) {
  bytes = RoundUp(std::max<int64_t>(bytes, 1), kLine);
  if (piece_ == nullptr || used_ + bytes > piece_->bytes()) {
    piece_ = std::make_shared<const Buffer>(std::max(bytes, kPieceBytes));
    used_ = 0;
  }
  char* memory = piece_->data() + used_;
  used_ += bytes;
  return {piece_, memory};  // keeps the whole piece alive
}

}  // namespace tessera::cpu
