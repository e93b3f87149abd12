// What waits for a writer: bounded in number, in bytes and in time.
//
// Whoever comes while the queue is full, or while its head has waited too long, is to be told so at
// once: that keeps short what those who are taken wait. What has waited longer still, or whose
// caller has given up, is not done any more.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "services/chat/conversation.h"
#include "services/chat/publisher.h"

namespace im::chat {

// Who has too much to do.
enum class Busy { kWriter, kGateway };
// The refusal of what there is no time for; counted.
absl::Status Overloaded(Busy who);

// How long an item has waited, and may.
struct Waiting {
  // When the caller gives up; frames of streams name no time.
  std::chrono::system_clock::time_point deadline = std::chrono::system_clock::time_point::max();
  // Set by the queue.
  std::chrono::steady_clock::time_point since;
};

// A message to store.
struct SendItem {
  int64_t conversation_id = 0;
  int64_t sender = 0;
  std::string request_id;
  int64_t request_hash = 0;
  // The client's bytes of im.chat.v1.Content, checked.
  std::string content;
  Origin origin;
  Waiting waiting;
  // Called once, on the writer's thread or the caller's: must not block.
  std::function<void(absl::StatusOr<Entry>)> done;

  size_t bytes() const { return content.size(); }
};

// A change of a group.
struct ChangeItem {
  int64_t conversation_id = 0;
  int64_t user = 0;
  std::string request_id;
  int64_t request_hash = 0;
  // Decides on the state as it is; may be called again when the state has changed meanwhile.
  std::function<absl::StatusOr<ChangePlan>(const ConversationState&,
                                           const std::optional<LastStay>&)>
      plan;
  Waiting waiting;
  // Absent: nothing had to change.
  std::function<void(absl::StatusOr<std::optional<Entry>>)> done;

  // What `plan` holds is bounded by the largest request; few of them wait.
  size_t bytes() const { return 1024; }
};

struct TypingItem {
  int64_t conversation_id = 0;
  int64_t user = 0;
  bool typing = false;
  Origin origin;
  Waiting waiting;
  std::function<void(absl::Status)> done;

  size_t bytes() const { return 0; }
};

struct WriterQueueLimits {
  // Of each kind; an item is about 500 bytes beside its content.
  size_t items = 20'000;
  // Of content.
  size_t bytes = 32 << 20;
  // While the first has waited this long, or all messages that wait will take this long at the pace
  // of late, no more are taken.
  std::chrono::milliseconds wait{2'000};
  // What has waited this long is not begun: after a database stood still, what is stored is what
  // came lately.
  std::chrono::milliseconds stale{5'000};
  // How long messages are gathered before a batch begins, when they come so fast that it pays (the
  // cost of an append is its call more than its rows): for a share of what a round takes, since
  // waiting is felt where calls are quick, and pays where the processors are busy; at most so long,
  // in thirds, of which the first that brings nothing is the last.
  double gather_share = 0.2;
  std::chrono::microseconds gather{600};
};

// Thread-safe; one takes.
class WriterQueue {
 public:
  explicit WriterQueue(const WriterQueueLimits& limits) : limits_(limits) {}

  // OVERLOADED, and the item as it was, if it was not taken.
  absl::Status Put(SendItem* item) { return PutInto(&sends_, item); }
  absl::Status Put(ChangeItem* item) { return PutInto(&changes_, item); }
  absl::Status Put(TypingItem* item) { return PutInto(&typings_, item); }

  struct Work {
    std::vector<SendItem> sends;
    std::vector<ChangeItem> changes;
    std::vector<TypingItem> typings;
    bool empty() const { return sends.empty() && changes.empty() && typings.empty(); }
  };
  // The first of each kind, up to `most`. With `wait` blocks until there is something, and then for
  // a moment more if that is expected to bring more; empty then: closed, and nothing is left.
  Work Take(size_t most, bool wait);
  // Takes no more; what waits can still be taken.
  void Close();

  // DEADLINE_EXCEEDED or OVERLOADED for what is not worth beginning any more.
  absl::Status CheckWorth(const Waiting& waiting) const;

 private:
  template <typename Item>
  absl::Status PutInto(std::deque<Item>* queue, Item* item);
  template <typename Item>
  std::vector<Item> TakeFrom(std::deque<Item>* queue, size_t most) IM_REQUIRES(mu_);
  size_t Size() const IM_REQUIRES(mu_) { return sends_.size() + changes_.size() + typings_.size(); }
  // Blocks until so many wait, or until then, or until it is closed.
  void Await(size_t count, std::chrono::steady_clock::time_point until) IM_REQUIRES(mu_);
  void Gather(size_t most) IM_REQUIRES(mu_);

  const WriterQueueLimits limits_;
  Mutex mu_;
  CondVar filled_;
  bool closed_ IM_GUARDED_BY(mu_) = false;
  // How many must wait before the one who takes is woken.
  size_t awaited_ IM_GUARDED_BY(mu_) = 0;
  size_t bytes_ IM_GUARDED_BY(mu_) = 0;
  // When messages were taken last, how many at most, and how long a round took of late: its cost
  // depends little on how many they were.
  std::chrono::steady_clock::time_point taken_at_ IM_GUARDED_BY(mu_);
  size_t most_ IM_GUARDED_BY(mu_) = 1;
  std::chrono::steady_clock::duration round_ IM_GUARDED_BY(mu_){};
  // Messages that came per second, of late.
  double pace_ IM_GUARDED_BY(mu_) = 0;
  std::deque<SendItem> sends_ IM_GUARDED_BY(mu_);
  std::deque<ChangeItem> changes_ IM_GUARDED_BY(mu_);
  std::deque<TypingItem> typings_ IM_GUARDED_BY(mu_);
};

}  // namespace im::chat
