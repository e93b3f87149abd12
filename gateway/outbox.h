// What waits to be written to one client: a queue with a budget for live events.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "gateway/fifo.h"
#include "gateway/frame.h"

namespace im::gateway {

// Not thread-safe.
class Outbox {
 public:
  // `budget`: bytes of live events that may wait.
  explicit Outbox(size_t budget) : budget_(budget) {}

  // What is never dropped: answers, what a resume delivers (its sender waits for room), ends.
  void Keep(const Frame& frame);
  void KeepAnswer(const Frame& frame);
  // A live event. One with a `replace_key` takes the place of the one that waits with the same key.
  // When the budget is exceeded, the fleeting ones are dropped first. false: that did not help, and
  // all live events were dropped.
  bool AddLive(const Frame& frame, const std::string& replace_key, bool fleeting);
  // A fleeting live event that sums up many with a key: later ones stay behind it rather than take
  // the places of those before it.
  bool AddPicture(const Frame& frame);
  // The word Resync, unless it waits already.
  void AddResync();
  // Moves all that waits in `from` behind what waits here, whatever the budget says.
  void Append(Outbox* from);

  bool Pop(Frame* frame);
  void DropLive();
  void Clear();

  bool empty() const { return items_.empty(); }
  size_t bytes() const { return live_bytes_ + kept_bytes_; }
  size_t answers() const { return answers_; }
  // Fleeting events that were dropped so far, other than by a later one.
  uint64_t fleeting_dropped() const { return fleeting_dropped_; }

 private:
  enum class Kind { kKept, kAnswer, kLive, kResync };
  struct Item {
    Frame frame;
    Kind kind;
    std::string key;
    bool fleeting = false;
  };
  void Push(Item item);
  bool KeepBudget();
  template <typename Predicate>
  void Drop(Predicate drop);

  const size_t budget_;
  Fifo<Item> items_;
  // Of the items with a key: the place, counted from the first item ever.
  std::unordered_map<std::string, uint64_t> keyed_;
  uint64_t popped_ = 0;
  size_t answers_ = 0;
  size_t live_bytes_ = 0;
  size_t kept_bytes_ = 0;
  bool resync_waits_ = false;
  uint64_t fleeting_dropped_ = 0;
};

}  // namespace im::gateway
