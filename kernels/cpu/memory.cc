#include "kernels/cpu/memory.h"

#include <sys/mman.h>

#include <algorithm>

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

void Buffer::Unmap::operator()(char* memory) const { munmap(memory, mapped_bytes); }

void Arena::Reset() {
  if (buffers_.size() > 1) {
    buffers_.clear();
    buffers_.emplace_back(peak_ + peak_ / 4);  // some room, so that slowly growing shapes do not map each time
  }
  used_ = 0;
  total_ = 0;
  peak_ = 0;
}

void Arena::Release(Mark mark) {
  if (mark.num_buffers != buffers_.size()) return;  // a new piece was begun meanwhile: kept until Reset
  total_ -= used_ - mark.used;
  used_ = mark.used;
}

char* Arena::TakeBytes(int64_t bytes) {
  bytes = RoundUp(std::max<int64_t>(bytes, 1), kLine);
  if (buffers_.empty() || used_ + bytes > buffers_.back().bytes()) {
    buffers_.emplace_back(std::max(bytes, int64_t{1} << 16));
    used_ = 0;
  }
  char* memory = buffers_.back().data() + used_;
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
