#include "gateway/http2/session_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace im::gateway::http2 {
namespace {

// As of nghttp2 1.52: the session, and a frame with its header and a byte of padding.
constexpr size_t kSession = 2928;
constexpr size_t kBuffer = 16'394;

struct Blocks {
  explicit Blocks(SessionMemory* memory) : functions(*memory->functions()) {
    session = static_cast<uint8_t*>(functions.calloc(1, kSession, functions.mem_user_data));
    // As nghttp2 does.
    buffer = static_cast<uint8_t*>(functions.realloc(nullptr, kBuffer, functions.mem_user_data));
  }
  void Free(void* block) { functions.free(block, functions.mem_user_data); }

  nghttp2_mem functions;
  uint8_t* session;
  uint8_t* buffer;
};

// What nghttp2 asks for, and where it is.
struct Seen {
  nghttp2_mem* under;
  std::vector<std::pair<size_t, void*>> blocks;
  void* Take(size_t size, void* block) {
    blocks.emplace_back(size, block);
    return block;
  }
};

// As nghttp2 itself asks: another version may want more than there is room for.
TEST(SessionMemoryTest, TheSessionAndTheBufferBeginInOnePage) {
  SessionMemory memory;
  Seen asked{memory.functions(), {}};
  nghttp2_mem functions{
      &asked,
      [](size_t size, void* self) {
        auto* seen = static_cast<Seen*>(self);
        return seen->Take(size, seen->under->malloc(size, seen->under->mem_user_data));
      },
      [](void* block, void* self) {
        nghttp2_mem* under = static_cast<Seen*>(self)->under;
        under->free(block, under->mem_user_data);
      },
      [](size_t count, size_t size, void* self) {
        auto* seen = static_cast<Seen*>(self);
        return seen->Take(count * size,
                          seen->under->calloc(count, size, seen->under->mem_user_data));
      },
      [](void* block, size_t size, void* self) {
        auto* seen = static_cast<Seen*>(self);
        return seen->Take(size, seen->under->realloc(block, size, seen->under->mem_user_data));
      }};
  nghttp2_session_callbacks* callbacks = nullptr;
  ASSERT_EQ(nghttp2_session_callbacks_new(&callbacks), 0);
  nghttp2_session* session = nullptr;
  ASSERT_EQ(nghttp2_session_server_new3(&session, callbacks, nullptr, nullptr, &functions), 0);
  const auto page = reinterpret_cast<uintptr_t>(session);
  EXPECT_EQ(page % 4096, 0U);
  const auto large = std::find_if(asked.blocks.begin(), asked.blocks.end(),
                                  [](const auto& block) { return block.first >= 16'384; });
  ASSERT_NE(large, asked.blocks.end());
  const auto buffer = reinterpret_cast<uintptr_t>(large->second);
  EXPECT_GT(buffer, page);
  EXPECT_LT(buffer, page + 4096);
  nghttp2_session_del(session);
  nghttp2_session_callbacks_del(callbacks);
}

TEST(SessionMemoryTest, WhatComesNextFindsNothingOfWhatWas) {
  uint8_t* was = nullptr;
  {
    SessionMemory memory;
    Blocks blocks(&memory);
    was = blocks.session;
    memset(blocks.session, 'x', kSession);
    memset(blocks.buffer, 'x', kBuffer);
  }
  SessionMemory memory;
  Blocks blocks(&memory);
  ASSERT_EQ(blocks.session, was) << "the slot is kept";
  const auto is_zero = [](uint8_t byte) { return byte == 0; };
  EXPECT_TRUE(std::all_of(blocks.session, blocks.session + kSession, is_zero));
  EXPECT_TRUE(std::all_of(blocks.buffer, blocks.buffer + kBuffer, is_zero));
}

TEST(SessionMemoryTest, AllElseIsMallocs) {
  SessionMemory memory;
  Blocks blocks(&memory);
  nghttp2_mem& functions = blocks.functions;
  memset(blocks.session, 's', kSession);
  memset(blocks.buffer, 'b', kBuffer);
  // A second buffer, a small block that grows, and zeros.
  auto* const second = static_cast<uint8_t*>(functions.malloc(kBuffer, functions.mem_user_data));
  memset(second, '2', kBuffer);
  auto* grown = static_cast<uint8_t*>(functions.malloc(10, functions.mem_user_data));
  memset(grown, 'g', 10);
  grown = static_cast<uint8_t*>(functions.realloc(grown, 100'000, functions.mem_user_data));
  EXPECT_EQ(grown[9], 'g');
  auto* const zeros = static_cast<uint8_t*>(functions.calloc(100, 10, functions.mem_user_data));
  EXPECT_EQ(zeros[999], 0);
  const auto all = [](uint8_t* from, size_t size, char what) {
    return std::all_of(from, from + size, [&](uint8_t byte) { return byte == what; });
  };
  EXPECT_TRUE(all(blocks.session, kSession, 's'));
  EXPECT_TRUE(all(blocks.buffer, kBuffer, 'b'));
  // One of the two that outgrows its place leaves it.
  auto* const moved =
      static_cast<uint8_t*>(functions.realloc(blocks.buffer, 50'000, functions.mem_user_data));
  EXPECT_TRUE(all(moved, kBuffer, 'b'));
  for (void* block : {static_cast<void*>(second), static_cast<void*>(grown),
                      static_cast<void*>(zeros), static_cast<void*>(moved)}) {
    blocks.Free(block);
  }
}

}  // namespace
}  // namespace im::gateway::http2
