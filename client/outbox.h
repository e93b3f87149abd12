// What a device still has to send.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "client/backoff.h"
#include "im/chat/v1/entries.pb.h"
#include "im/chat/v1/messages.pb.h"

namespace im::client {

// Whether trying the same again, with the same request_id, can help.
bool IsRetryable(const absl::Status& status);

// A queue per conversation; the first of each is under way until it is settled, the rest waits, so
// that messages are stored in the order given. Logic only, not thread-safe.
class Outbox {
 public:
  using Done = std::function<void(absl::StatusOr<chat::v1::SendMessageResponse>)>;

  explicit Outbox(std::function<Backoff()> new_backoff) : new_backoff_(std::move(new_backoff)) {}

  // request.request_id must be new.
  void Add(chat::v1::SendMessageRequest request, Done done);

  // What is to be sent now; counts as under way from here on.
  std::vector<chat::v1::SendMessageRequest> TakeReady();

  // How a message under way went. Settles it, or says after which time to call Ready for it.
  std::optional<std::chrono::milliseconds> Answered(
      const chat::v1::SendMessageRequest& request,
      const absl::StatusOr<chat::v1::SendMessageResponse>& answer);
  void Ready(int64_t conversation_id);

  // An entry of ours that came some other way settles what waits for its answer.
  void Seen(const chat::v1::Entry& entry);

  // What was under way is to be sent again.
  void ConnectionLost();
  // Everything fails.
  void Fail(const absl::Status& status);

  size_t size() const { return by_request_id_.size(); }

 private:
  struct Item {
    chat::v1::SendMessageRequest request;
    Done done;
  };
  struct Queue {
    std::deque<Item> items;
    enum { kReady, kUnderWay, kWaiting } state = kReady;
    Backoff backoff;
  };

  Queue* FindFirst(int64_t conversation_id, const std::string& request_id);
  void Settle(int64_t conversation_id, const absl::StatusOr<chat::v1::SendMessageResponse>& result);

  const std::function<Backoff()> new_backoff_;
  std::map<int64_t, Queue> queues_;
  // The conversations of what is not settled.
  std::unordered_map<std::string, int64_t> by_request_id_;
};

}  // namespace im::client
