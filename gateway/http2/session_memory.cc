#include "gateway/http2/session_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "common/base/mutex.h"

namespace im::gateway::http2 {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kSlotBytes = 5 * kPageBytes;
// Of the first page, for the session: 2,928 bytes in nghttp2 1.52.
constexpr size_t kHeadBytes = 3072;
// The buffer is a frame of 16,384 bytes, the HTTP/2 frame's header, and a byte of padding.
constexpr size_t kLeastBuffer = 16'384;
constexpr size_t kMostBuffer = kSlotBytes - kHeadBytes;
constexpr size_t kSlotsAtOnce = 64;

// Slots of the process. They are kept for those who come next, without their pages.
class Slots {
 public:
  // Null: no memory.
  std::byte* Take() {
    MutexLock lock(&mu_);
    if (free_.empty()) {
      void* const more = mmap(nullptr, kSlotsAtOnce * kSlotBytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (more == MAP_FAILED) return nullptr;
      // A huge page is 2 MB at the first touch.
      madvise(more, kSlotsAtOnce * kSlotBytes, MADV_NOHUGEPAGE);
      for (size_t i = kSlotsAtOnce; i > 0; --i) {
        free_.push_back(static_cast<std::byte*>(more) + (i - 1) * kSlotBytes);
      }
    }
    std::byte* const slot = free_.back();
    free_.pop_back();
    return slot;
  }
  void Put(std::byte* slot) {
    // Who comes next takes it for zeros; of memory that is locked, no page is given back.
    if (madvise(slot, kSlotBytes, MADV_DONTNEED) != 0) memset(slot, 0, kSlotBytes);
    MutexLock lock(&mu_);
    free_.push_back(slot);
  }

 private:
  Mutex mu_;
  std::vector<std::byte*> free_ IM_GUARDED_BY(mu_);
};

Slots& AllSlots() {
  static Slots& slots = *new Slots;
  return slots;
}

}  // namespace

SessionMemory::SessionMemory()
    : functions_{
          this,
          [](size_t size, void* self) { return static_cast<SessionMemory*>(self)->Allocate(size); },
          [](void* block, void* self) { static_cast<SessionMemory*>(self)->Free(block); },
          [](size_t count, size_t size, void* self) {
            return static_cast<SessionMemory*>(self)->AllocateZeros(count, size);
          },
          [](void* block, size_t size, void* self) {
            return static_cast<SessionMemory*>(self)->Reallocate(block, size);
          }} {}

SessionMemory::~SessionMemory() {
  if (slot_ != nullptr) AllSlots().Put(slot_);
}

void* SessionMemory::FromSlot(size_t size) {
  // The session is made first.
  if (slot_ == nullptr && size <= kHeadBytes) return slot_ = AllSlots().Take();
  if (slot_ != nullptr && !buffer_given_ && size >= kLeastBuffer && size <= kMostBuffer) {
    buffer_given_ = true;
    return slot_ + kHeadBytes;
  }
  return nullptr;
}

bool SessionMemory::IsInSlot(const void* block) const {
  const auto* const byte = static_cast<const std::byte*>(block);
  return slot_ != nullptr && byte >= slot_ && byte < slot_ + kSlotBytes;
}

void* SessionMemory::Allocate(size_t size) {
  void* const block = FromSlot(size);
  return block != nullptr ? block : malloc(size);
}

void* SessionMemory::AllocateZeros(size_t count, size_t size) {
  // No byte of a slot is given out twice, and new pages are zeros.
  void* const block = size == 0 || count <= kSlotBytes / size ? FromSlot(count * size) : nullptr;
  return block != nullptr ? block : calloc(count, size);
}

void* SessionMemory::Reallocate(void* block, size_t size) {
  if (block == nullptr) return Allocate(size);
  if (!IsInSlot(block)) return realloc(block, size);
  void* const moved = malloc(size);
  const auto rest = static_cast<size_t>(slot_ + kSlotBytes - static_cast<std::byte*>(block));
  if (moved != nullptr) memcpy(moved, block, std::min(size, rest));
  return moved;
}

void SessionMemory::Free(void* block) {
  if (!IsInSlot(block)) free(block);
}

}  // namespace im::gateway::http2
