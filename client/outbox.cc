#include "client/outbox.h"

#include <algorithm>
#include <utility>

#include "common/base/error.h"

namespace im::client {

using chat::v1::SendMessageRequest;
using chat::v1::SendMessageResponse;

bool IsRetryable(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
      return true;
    case absl::StatusCode::kResourceExhausted: {
      const auto reason = ReasonOf(status);
      return reason == Reason::RATE_LIMITED || reason == Reason::OVERLOADED;
    }
    case absl::StatusCode::kUnauthenticated:
      // The stream's token is being exchanged.
      return ReasonOf(status) == Reason::TOKEN_EXPIRED;
    default:
      return false;
  }
}

void Outbox::Add(SendMessageRequest request, Done done) {
  const int64_t conversation_id = request.conversation_id();
  by_request_id_[request.request_id()] = conversation_id;
  const auto it = queues_.try_emplace(conversation_id, Queue{{}, Queue::kReady, new_backoff_()});
  it.first->second.items.push_back({std::move(request), std::move(done)});
}

std::vector<SendMessageRequest> Outbox::TakeReady() {
  std::vector<SendMessageRequest> ready;
  for (auto& [id, queue] : queues_) {
    if (queue.state != Queue::kReady) continue;
    queue.state = Queue::kUnderWay;
    ready.push_back(queue.items.front().request);
  }
  return ready;
}

Outbox::Queue* Outbox::FindFirst(int64_t conversation_id, const std::string& request_id) {
  const auto it = queues_.find(conversation_id);
  if (it == queues_.end() || it->second.items.front().request.request_id() != request_id) {
    return nullptr;
  }
  return &it->second;
}

std::optional<std::chrono::milliseconds> Outbox::Answered(
    const SendMessageRequest& request, const absl::StatusOr<SendMessageResponse>& answer) {
  Queue* queue = FindFirst(request.conversation_id(), request.request_id());
  if (queue == nullptr) return std::nullopt;
  if (answer.ok() || !IsRetryable(answer.status())) {
    Settle(request.conversation_id(), answer);
    return std::nullopt;
  }
  if (queue->state != Queue::kUnderWay) return std::nullopt;
  queue->state = Queue::kWaiting;
  const auto asked = DetailsOf(answer.status()).retry_after;
  return queue->backoff.Next() + asked.value_or(std::chrono::milliseconds(0));
}

void Outbox::Ready(int64_t conversation_id) {
  const auto it = queues_.find(conversation_id);
  if (it != queues_.end() && it->second.state == Queue::kWaiting) {
    it->second.state = Queue::kReady;
  }
}

void Outbox::Seen(const chat::v1::Entry& entry) {
  const auto known = by_request_id_.find(entry.request_id());
  if (known == by_request_id_.end() || known->second != entry.conversation_id()) return;
  // Only the first can have been stored.
  if (FindFirst(entry.conversation_id(), entry.request_id()) == nullptr) return;
  SendMessageResponse response;
  response.set_conversation_id(entry.conversation_id());
  response.set_request_id(entry.request_id());
  response.set_seq(entry.seq());
  *response.mutable_at() = entry.at();
  response.set_count(entry.count());
  Settle(entry.conversation_id(), response);
}

void Outbox::Settle(int64_t conversation_id, const absl::StatusOr<SendMessageResponse>& result) {
  const auto it = queues_.find(conversation_id);
  const Item item = std::move(it->second.items.front());
  by_request_id_.erase(item.request.request_id());
  it->second.items.pop_front();
  it->second.state = Queue::kReady;
  it->second.backoff.Reset();
  if (it->second.items.empty()) queues_.erase(it);
  if (item.done) item.done(result);
}

void Outbox::ConnectionLost() {
  for (auto& [id, queue] : queues_) queue.state = Queue::kReady;
}

void Outbox::Fail(const absl::Status& status) {
  std::map<int64_t, Queue> queues;
  queues.swap(queues_);
  by_request_id_.clear();
  for (auto& [id, queue] : queues) {
    for (Item& item : queue.items) {
      if (item.done) item.done(status);
    }
  }
}

}  // namespace im::client
