// Where a connection's HTTP/2 session lives.
//
// nghttp2 holds a buffer of 16 KB for each session, of which an idle client has used a few bytes.
// From malloc, it starts and ends in the middle of pages that others' bytes keep in memory: four
// kilobytes a client for nothing. So a session has a slot of five pages of its own: the session
// itself is in the first, the buffer begins at that page's end, and the pages behind it take no
// memory until a large frame is sent. They are given back when the connection ends, which malloc
// would not do either.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>

namespace im::gateway::http2 {

// One thread at a time. Outlives the session that was made with it. All but those two blocks is
// malloc's.
class SessionMemory {
 public:
  SessionMemory();
  ~SessionMemory();
  SessionMemory(const SessionMemory&) = delete;
  SessionMemory& operator=(const SessionMemory&) = delete;

  // For one session. nghttp2 copies it.
  nghttp2_mem* functions() { return &functions_; }

 private:
  // Null: it is not one of the two blocks.
  void* FromSlot(size_t size);
  void* Allocate(size_t size);
  void* AllocateZeros(size_t count, size_t size);
  void* Reallocate(void* block, size_t size);
  void Free(void* block);
  bool IsInSlot(const void* block) const;

  nghttp2_mem functions_;
  std::byte* slot_ = nullptr;  // from the first block on
  bool buffer_given_ = false;
};

}  // namespace im::gateway::http2
