// The part of a session that moves data: events in, loads, messages and marks out.
#include <algorithm>
#include <utility>

#include "client/session_core.h"
#include "common/base/error.h"
#include "im/chat/v1/conversations.grpc.pb.h"
#include "im/chat/v1/messages.grpc.pb.h"

namespace im::client {

using chat::v1::ConversationService;
using chat::v1::Entry;
using chat::v1::Event;
using chat::v1::MessageService;
using chat::v1::SendMessageRequest;
using gateway::v1::Answer;
using gateway::v1::ConnectRequest;

namespace {

constexpr int kPage = 200;
// Before asking the server to compare again after it refused a load, which it never should.
constexpr std::chrono::seconds kAfterRefusal(10);
constexpr std::chrono::seconds kMarkRetry(1);

}  // namespace

template <typename Service, typename Method, typename Request, typename Response>
void Session::Core::Fetch(Method method, Request request, std::function<void(const Response&)> done,
                          const std::string& refused_token) {
  auto self = shared_from_this();
  const uint64_t generation = generation_;
  tokens_->GetToken(refused_token, [=](absl::StatusOr<std::string> token) {
    const auto answered = [=](absl::StatusOr<Response> response) {
      self->Post([=](Core& core) {
        if (core.generation_ != generation || core.stopping_) return;
        if (response.ok()) {
          core.fetch_backoff_.Reset();
          return done(*response);
        }
        const absl::Status& status = response.status();
        const std::string refused =
            absl::IsUnauthenticated(status) && token.ok() ? *token : std::string();
        if (IsRetryable(status) || absl::IsInternal(status) || absl::IsUnknown(status) ||
            !refused.empty()) {
          core.After(core.fetch_backoff_.Next(), [=](Core& later) {
            later.Fetch<Service, Method, Request, Response>(method, request, done, refused);
          });
        } else {
          core.FetchFailed();
        }
      });
    };
    if (!token.ok()) return answered(token.status());
    self->channel_->template Call<Service>(method, request, *token, answered);
  });
}

void Session::Core::FetchFailed() {
  After(kAfterRefusal, [](Core& core) {
    core.inbox_.Abandon();
    core.listing_ = false;
    core.SendHave();
  });
}

void Session::Core::ListPage(const std::string& page_token) {
  using Method = void (ConversationService::Stub::async::*)(
      grpc::ClientContext*, const chat::v1::ListConversationsRequest*,
      chat::v1::ListConversationsResponse*, std::function<void(grpc::Status)>);
  chat::v1::ListConversationsRequest request;
  request.set_page_size(kPage);
  request.set_page_token(page_token);
  Fetch<ConversationService, Method, chat::v1::ListConversationsRequest,
        chat::v1::ListConversationsResponse>(
      &ConversationService::Stub::async::ListConversations, request,
      [this](const chat::v1::ListConversationsResponse& page) {
        for (const auto& conversation : page.conversations()) {
          if (inbox_.HaveSeq(conversation.conversation_id()) == 0) {
            observer_->OnConversation(conversation, true);
          }
          inbox_.Listed(conversation);
        }
        if (!page.next_page_token().empty()) return ListPage(page.next_page_token());
        listed_ = true;
        listing_ = false;
        inbox_.EndListing();
        BecomeLive();
      });
}

void Session::Core::LoadSoon(int64_t conversation_id) {
  After(options_.load_grace,
        [conversation_id](Core& core) { core.inbox_.LoadNow(conversation_id); });
}

void Session::Core::Load(int64_t conversation_id, int64_t after_seq, int64_t to_seq) {
  ++counts_.loads;
  chat::v1::ListEntriesRequest request;
  request.set_conversation_id(conversation_id);
  request.set_page_size(kPage);
  request.set_after_seq(after_seq);
  request.set_to_seq(to_seq);
  LoadPage(std::move(request));
}

void Session::Core::LoadPage(chat::v1::ListEntriesRequest request) {
  using Method = void (MessageService::Stub::async::*)(
      grpc::ClientContext*, const chat::v1::ListEntriesRequest*, chat::v1::ListEntriesResponse*,
      std::function<void(grpc::Status)>);
  Fetch<MessageService, Method, chat::v1::ListEntriesRequest, chat::v1::ListEntriesResponse>(
      &MessageService::Stub::async::ListEntries, request,
      [this, request](const chat::v1::ListEntriesResponse& page) {
        inbox_.Loaded(request.conversation_id(), page);
        if (page.next_page_token().empty()) {
          return inbox_.LoadDone(request.conversation_id(), request.to_seq());
        }
        chat::v1::ListEntriesRequest next = request;
        next.set_page_token(page.next_page_token());
        LoadPage(std::move(next));
      });
}

void Session::Core::Look(int64_t conversation_id) {
  using Method = void (ConversationService::Stub::async::*)(
      grpc::ClientContext*, const chat::v1::GetConversationRequest*,
      chat::v1::GetConversationResponse*, std::function<void(grpc::Status)>);
  chat::v1::GetConversationRequest request;
  request.set_conversation_id(conversation_id);
  Fetch<ConversationService, Method, chat::v1::GetConversationRequest,
        chat::v1::GetConversationResponse>(
      &ConversationService::Stub::async::GetConversation, request,
      [this, conversation_id](const chat::v1::GetConversationResponse& response) {
        inbox_.Learn(response.conversation());
        observer_->OnConversation(response.conversation(), false);
        inbox_.LookDone(conversation_id);
      });
}

void Session::Core::OnChat(const Event& event) {
  switch (event.event_case()) {
    case Event::kEntry:
      return inbox_.OnEntry(event.entry());
    case Event::kGap:
      inbox_.OnGap(event.gap());
      return observer_->OnGap(event.gap());
    case Event::kConversation:
      inbox_.Learn(event.conversation());
      return observer_->OnConversation(event.conversation(), false);
    case Event::kWatermark:
      inbox_.OnWatermark(event.watermark());
      return observer_->OnWatermark(event.watermark());
    case Event::kTyping:
      return observer_->OnTyping(event.typing());
    case Event::kOwnLog:
      return OnOwnLog(event.own_log());
    default:
      return;  // of a newer server
  }
}

void Session::Core::OnOwnLog(const chat::v1::OwnLogChanged& changed) {
  if (changed.after_position() > own_log_position_) return SendHave();
  for (const auto& record : changed.records()) {
    // Records up to ours are repeats.
    if (record.position() > own_log_position_) observer_->OnOwnRecord(record);
  }
  own_log_position_ = std::max(own_log_position_, changed.position());
}

void Session::Core::Apply(const Entry& entry) {
  observer_->OnEntry(entry);
  if (entry.sender_user_id() == user_id_) {
    outbox_.Seen(entry);
    if (live_) Post([](Core& core) { core.Flush(); });
    return;
  }
  if (options_.acknowledge_every.count() == 0) return;
  if (delivered_.empty()) {
    After(options_.acknowledge_every, [](Core& core) { core.Acknowledge(); });
  }
  delivered_[entry.conversation_id()] = entry.seq();
}

void Session::Core::Acknowledge() {
  std::map<int64_t, int64_t> delivered;
  delivered.swap(delivered_);
  if (connection_ == nullptr) return;
  for (const auto& [conversation_id, seq] : delivered) {
    ConnectRequest frame;
    frame.mutable_acknowledge_delivery()->set_conversation_id(conversation_id);
    frame.mutable_acknowledge_delivery()->set_seq(seq);
    connection_->Tell(std::move(frame));
  }
}

void Session::Core::Send(SendMessageRequest request, Sent done) {
  if (stopping_ || ended_) {
    if (done) done(ended_.value_or(absl::CancelledError("the session was stopped")));
    return;
  }
  outbox_.Add(std::move(request), std::move(done));
  Flush();
}

void Session::Core::Flush() {
  if (!live_ || connection_ == nullptr) return;
  for (const SendMessageRequest& request : outbox_.TakeReady()) SendOne(request);
}

void Session::Core::SendOne(const SendMessageRequest& request) {
  ConnectRequest frame;
  *frame.mutable_send_message() = request;
  connection_->Call(std::move(frame), [self = shared_from_this(), this,
                                       request](const absl::StatusOr<Answer>& answer) {
    if (stopping_) return;
    if (!answer.ok()) {
      if (const auto delay = outbox_.Answered(request, answer.status())) {
        After(*delay, [id = request.conversation_id()](Core& core) {
          core.outbox_.Ready(id);
          core.Flush();
        });
      }
      return Flush();
    }
    const auto& stored = answer->send_message();
    if (stored.seq() > inbox_.HaveSeq(stored.conversation_id())) {
      Entry entry;
      entry.set_conversation_id(stored.conversation_id());
      entry.set_seq(stored.seq());
      entry.set_sender_user_id(user_id_);
      *entry.mutable_at() = stored.at();
      entry.set_request_id(stored.request_id());
      entry.set_count(stored.count());
      *entry.mutable_message() = request.content();
      inbox_.OnEntry(entry);
    }
    outbox_.Answered(request, stored);
    Flush();
  });
}

void Session::Core::MarkRead(int64_t conversation_id, int64_t seq) {
  int64_t& mark = marks_[conversation_id];
  if (seq <= mark) return;
  mark = seq;
  if (live_ && connection_ != nullptr) SendMark(conversation_id, seq);
}

void Session::Core::FlushMarks() {
  const std::map<int64_t, int64_t> marks = marks_;
  for (const auto& [conversation_id, seq] : marks) SendMark(conversation_id, seq);
}

void Session::Core::SendMark(int64_t conversation_id, int64_t seq) {
  if (connection_ == nullptr) return;
  ConnectRequest frame;
  frame.mutable_mark_read()->set_conversation_id(conversation_id);
  frame.mutable_mark_read()->set_seq(seq);
  connection_->Call(std::move(frame), [self = shared_from_this(), this, conversation_id,
                                       seq](const absl::StatusOr<Answer>& answer) {
    const auto mark = marks_.find(conversation_id);
    if (mark == marks_.end() || mark->second != seq) return;
    if (answer.ok() || !IsRetryable(answer.status())) {
      marks_.erase(mark);
    } else if (live_) {
      After(kMarkRetry, [=](Core& core) { core.SendMark(conversation_id, seq); });
    }
  });
}

void Session::Core::SetTyping(int64_t conversation_id, bool typing) {
  if (connection_ == nullptr || !live_) return;
  ConnectRequest frame;
  frame.mutable_set_typing()->set_conversation_id(conversation_id);
  frame.mutable_set_typing()->set_typing(typing);
  connection_->Tell(std::move(frame));
}

void Session::Core::SetStatus(presence::v1::Status status, Done done) {
  options_.status = status;
  if (connection_ == nullptr || !live_) {
    if (done) done(absl::OkStatus());
    return;
  }
  ConnectRequest frame;
  frame.mutable_set_status()->set_status(status);
  connection_->Call(std::move(frame),
                    [done = std::move(done)](const absl::StatusOr<Answer>& answer) {
                      if (done) done(answer.status());
                    });
}

}  // namespace im::client
