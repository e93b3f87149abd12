// The writers: each conversation belongs to one, which decides in memory and stores in batches.
//
// A writer takes all that piled up while its previous commit ran, decides it on the states that it
// remembers, and appends it in one call, which confirms them against the locked rows. What is not
// confirmed (a row that is locked or not as remembered, a request id that is stored already, a
// refusal) goes one by one after reading afresh, so that no item spoils another's; those of a
// conversation that stays locked are parked and tried in turn, so that they slow no other. Events
// are published after the commit and in its order.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "services/chat/conversation.h"
#include "services/chat/epoch.h"
#include "services/chat/pg_message_store.h"
#include "services/chat/publisher.h"
#include "services/chat/writer_queue.h"

namespace im::chat {

// As many as configured; 0: one for two cores, since PostgreSQL works for each on another, and at
// most eight.
int WriterCount(int configured);

struct WriterOptions {
  std::string database_url;
  // Per writer; what is more is refused as OVERLOADED.
  WriterQueueLimits queue;
  // Items a batch takes at most.
  size_t batch_limit = 500;
  // Members of all conversations that a writer remembers, about 100 bytes each.
  size_t remembered_members = 500000;
};

// One thread with one connection. Thread-safe. The destructor stores what is queued first.
class Writer {
 public:
  Writer(const WriterOptions& options, Publisher* publisher, Epoch* epoch);
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // The item's done is called at once, with OVERLOADED, if it is not taken.
  template <typename Item>
  void Submit(Item item) {
    const absl::Status taken = queue_.Put(&item);
    if (!taken.ok()) item.done(taken);
  }

 private:
  // A message on its way through a round.
  struct Pending {
    SendItem item;
    Entry entry;
    int64_t join_seq = 0;
  };
  struct Remembered {
    ConversationState state;
    std::list<int64_t>::iterator recent;
  };

  // An item of a conversation that somebody else holds locked.
  struct Parked {
    std::variant<SendItem, ChangeItem> item;
    int64_t conversation_id = 0;
    std::chrono::steady_clock::time_point until;
  };

  void Run();

  // Makes sure that the states of these conversations are in memory. Those that do not exist or
  // could not be read are absent.
  absl::Status Remember(const std::vector<int64_t>& ids);
  ConversationState* FindState(int64_t id);
  // Reads the state afresh; null in the value: there is no such conversation.
  absl::StatusOr<ConversationState*> Reread(int64_t id);
  void Forget(int64_t id);
  void Trim();
  void CheckEpoch();

  void StoreBatch(std::vector<SendItem> items);
  // Gives the entries their seq and count and says which conversations they advance.
  AppendBatch Assemble(const std::vector<Pending*>& pending);
  void Stored(const AppendBatch& batch, const std::vector<Pending*>& pending);
  // Items that go alone; writer_alone.cc.
  void StoreAlone(std::variant<SendItem, ChangeItem> item);
  // False, and nothing done: the conversation is locked.
  bool TryAlone(std::variant<SendItem, ChangeItem>* item);
  void TryParked();
  absl::StatusOr<Entry> TrySingle(const SendItem& item, bool* locked);
  absl::StatusOr<std::optional<Entry>> TryChange(const ChangeItem& item, bool* locked);
  void ShowTyping(const TypingItem& item);
  // An entry that was stored before under the same request id, published again, or why not.
  absl::StatusOr<std::optional<Entry>> FindEarlier(const ConversationState& state, int64_t sender,
                                                   const std::string& request_id,
                                                   int64_t request_hash, const Origin* origin);
  // NOT_A_MEMBER for who was one, CONVERSATION_NOT_FOUND for who never was.
  absl::Status RefusalOf(int64_t conversation, int64_t user, const absl::Status& refusal);

  const WriterOptions options_;
  Publisher* const publisher_;
  Epoch* const epoch_;
  pg::Pool pool_;
  PgMessageStore store_;

  WriterQueue queue_;

  // Of the writer's thread alone.
  std::list<Parked> parked_;
  std::unordered_map<int64_t, Remembered> states_;
  std::list<int64_t> recent_;  // front: used last
  size_t remembered_members_ = 0;
  int64_t states_epoch_ = 0;

  std::thread thread_;
};

// All writers of the process, one for each lane.
class Writers {
 public:
  Writers(int count, const WriterOptions& options, Publisher* publisher, Epoch* epoch);

  template <typename Item>
  void Submit(Item item) {
    Writer& writer = Of(item.conversation_id);
    writer.Submit(std::move(item));
  }

 private:
  Writer& Of(int64_t conversation_id);

  std::vector<std::unique_ptr<Writer>> writers_;
};

}  // namespace im::chat
