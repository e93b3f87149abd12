// The writers: each conversation belongs to one, which decides in memory and stores in batches.
//
// A writer takes all that piled up while its previous commit ran, decides it on the states that it
// remembers, and appends it in one call, which confirms them against the locked rows. What is not
// confirmed (a row that is locked or not as remembered, a request id that is stored already, a
// refusal) goes one by one after reading afresh, so that no item spoils or slows another's. Events
// are published after the commit and in its order.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "services/chat/conversation.h"
#include "services/chat/epoch.h"
#include "services/chat/pg_message_store.h"
#include "services/chat/publisher.h"

namespace im::chat {

// A message to store.
struct SendItem {
  int64_t conversation_id = 0;
  int64_t sender = 0;
  std::string request_id;
  int64_t request_hash = 0;
  // The client's bytes of im.chat.v1.Content, checked.
  std::string content;
  Origin origin;
  // Called once, on the writer's thread: must not block.
  std::function<void(absl::StatusOr<Entry>)> done;
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
  // Absent: nothing had to change.
  std::function<void(absl::StatusOr<std::optional<Entry>>)> done;
};

struct TypingItem {
  int64_t conversation_id = 0;
  int64_t user = 0;
  bool typing = false;
  Origin origin;
  std::function<void(absl::Status)> done;
};

struct WriterOptions {
  std::string database_url;
  // Items that may wait per writer; more are refused as OVERLOADED.
  size_t queue_limit = 20000;
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

  void Submit(SendItem item);
  void Submit(ChangeItem item);
  void Submit(TypingItem item);

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

  void Run();
  template <typename Item>
  void Enqueue(std::vector<Item>* queue, Item item);

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
  void StoreSingle(SendItem item);
  absl::StatusOr<Entry> TrySingle(const SendItem& item);
  void StoreChange(ChangeItem item);
  absl::StatusOr<std::optional<Entry>> TryChange(const ChangeItem& item);
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

  Mutex mu_;
  CondVar filled_;
  bool closing_ IM_GUARDED_BY(mu_) = false;
  std::vector<SendItem> sends_ IM_GUARDED_BY(mu_);
  std::vector<ChangeItem> changes_ IM_GUARDED_BY(mu_);
  std::vector<TypingItem> typings_ IM_GUARDED_BY(mu_);

  // Of the writer's thread alone.
  std::unordered_map<int64_t, Remembered> states_;
  std::list<int64_t> recent_;  // front: used last
  size_t remembered_members_ = 0;
  int64_t states_epoch_ = 0;

  std::thread thread_;
};

// All writers of the process, and which conversation belongs to which.
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
