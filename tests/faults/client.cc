#include "tests/faults/client.h"

#include <google/protobuf/util/time_util.h>

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/outbox.h"
#include "common/base/random.h"
#include "im/chat/v1/contacts.grpc.pb.h"

namespace im::faults {

using client::ConnectionState;
using google::protobuf::util::TimeUtil;
using std::chrono::milliseconds;

namespace {

// Short, so that a call through a gateway that hangs is tried again while it does.
constexpr milliseconds kCallTimeout(4'000);
// About as long as a commit takes.
constexpr milliseconds kHasty(20);
constexpr milliseconds kRetry(150);
constexpr int kPage = 200;

std::shared_ptr<client::Channel> Open(const std::string& server,
                                      milliseconds call_timeout = kCallTimeout) {
  return *client::Channel::Open({.server = server, .call_timeout = call_timeout});
}

Outcome OutcomeOf(bool ok, bool leaves_open) {
  return ok ? Outcome::kDone : leaves_open ? Outcome::kUnknown : Outcome::kRefused;
}

}  // namespace

Client::Client(Recorder* recorder, client::Timers* timers, std::vector<std::string> doors,
               int64_t person, const std::string& name, Device::Part part,
               const auth::v1::Tokens& tokens)
    : recorder_(recorder),
      timers_(timers),
      doors_(std::move(doors)),
      person_(person),
      name_(name),
      number_(recorder->AddDevice(name, person, part)),
      channel_(Open(doors_.front())) {
  tokens_ = std::make_shared<client::MemoryTokens>(channel_, tokens);
}

Client::~Client() {
  if (session_ != nullptr) session_->Stop();
}

void Client::Connect(client::Snapshot snapshot, size_t door) {
  channel_ = Open(doors_[door % doors_.size()]);
  hasty_ = Open(doors_[door % doors_.size()], kHasty);
  recorder_->Tell(number_,
                  {.kind = Told::Kind::kConnects,
                   .first = snapshot.have.epoch() == 0 ? 0 : snapshot.have.own_log_position()});
  for (const auto& had : snapshot.have.conversations()) {
    recorder_->Tell(
        number_,
        {.kind = Told::Kind::kHad, .conversation = had.conversation_id(), .seq = had.seq()});
  }
  {
    MutexLock lock(&mu_);
    state_ = ConnectionState::kConnecting;
  }
  client::SessionOptions options;
  options.snapshot = std::move(snapshot);
  // Only the server's own care is to be seen.
  options.have_every = std::chrono::hours(24);
  options.reconnect = {milliseconds(100), milliseconds(2'000)};
  options.resend = {milliseconds(50), milliseconds(1'000)};
  session_ = std::make_unique<client::Session>(channel_, tokens_, timers_, this, options);
  session_->Start();
}

client::Snapshot Client::Disconnect() {
  session_->Stop();
  client::Snapshot snapshot = session_->GetSnapshot();
  session_.reset();
  return snapshot;
}

bool Client::IsLive() {
  MutexLock lock(&mu_);
  return state_ == ConnectionState::kLive;
}

bool Client::IsOver() {
  MutexLock lock(&mu_);
  return state_ == ConnectionState::kEnded;
}

int64_t Client::losses() {
  MutexLock lock(&mu_);
  return losses_;
}

bool Client::WaitLive(Clock::time_point deadline) {
  MutexLock lock(&mu_);
  while (state_ != ConnectionState::kLive) {
    if (!changed_.WaitUntil(&mu_, deadline)) break;
  }
  return state_ == ConnectionState::kLive;
}

Sending Client::Send(int64_t conversation, const std::string& text) {
  Sending sending;
  chat::v1::Content& content = *sending.request.mutable_content();
  content.mutable_text()->set_body(text);
  sending.hash = HashOf(content.SerializeAsString());
  sending.request.set_conversation_id(conversation);
  Attempt attempt;
  attempt.person = person_;
  attempt.device = number_;
  attempt.conversation = conversation;
  attempt.hash = sending.hash;
  attempt.nth = ++sent_[conversation];
  const size_t begun = recorder_->Begin(attempt);
  auto outcome = std::make_shared<std::promise<Outcome>>();
  sending.outcome = outcome->get_future().share();
  sending.request.set_request_id(
      session_->Send(conversation, content,
                     [recorder = recorder_, begun,
                      outcome](const absl::StatusOr<chat::v1::SendMessageResponse>& answer) {
                       Attempt answered;
                       answered.outcome = OutcomeOf(answer.ok(), LeavesOpen(answer.status()));
                       if (answer.ok()) {
                         answered.seq = answer->seq();
                         answered.at = TimeUtil::TimestampToMicroseconds(answer->at());
                       } else {
                         answered.reason = answer.status().ToString();
                       }
                       recorder->Answered(begun, answered);
                       outcome->set_value(answered.outcome);
                     }));
  recorder_->SetRequestId(begun, ToRequestId(sending.request.request_id()));
  return sending;
}

Outcome Client::SendOnce(const chat::v1::SendMessageRequest& request, bool hasty) {
  Attempt attempt;
  attempt.person = person_;
  attempt.device = number_;
  attempt.conversation = request.conversation_id();
  attempt.request_id = ToRequestId(request.request_id());
  attempt.hash = HashOf(request.content().SerializeAsString());
  const size_t begun = recorder_->Begin(attempt);
  const auto answer =
      CallOn(hasty ? hasty_ : channel_, &chat::v1::MessageService::Stub::SendMessage, request);
  attempt.outcome = OutcomeOf(answer.ok(), LeavesOpen(answer.status()));
  if (answer.ok()) {
    attempt.seq = answer->seq();
    attempt.at = TimeUtil::TimestampToMicroseconds(answer->at());
  } else {
    attempt.reason = answer.status().ToString();
  }
  recorder_->Answered(begun, attempt);
  return attempt.outcome;
}

Outcome Client::Settle(const chat::v1::SendMessageRequest& request, Clock::time_point deadline) {
  for (;;) {
    const Outcome outcome = SendOnce(request);
    if (outcome != Outcome::kUnknown || !Pause(deadline)) return outcome;
  }
}

Attempt Client::Change(EntryKind kind, int64_t conversation, const std::string& request_id,
                       const std::function<absl::StatusOr<Place>()>& call,
                       Clock::time_point deadline) {
  Attempt attempt;
  attempt.kind = kind;
  attempt.person = person_;
  attempt.device = number_;
  attempt.conversation = conversation;
  attempt.request_id = ToRequestId(request_id);
  const size_t begun = recorder_->Begin(attempt);
  for (;;) {
    const absl::StatusOr<Place> place = call();
    attempt.outcome = OutcomeOf(place.ok(), LeavesOpen(place.status()));
    if (place.ok()) {
      attempt.conversation = place->conversation;
      attempt.seq = place->seq;
      attempt.at = place->at;
    } else {
      attempt.reason = place.status().ToString();
    }
    if (attempt.outcome != Outcome::kUnknown || !Pause(deadline)) break;
  }
  recorder_->Answered(begun, attempt);
  return attempt;
}

void Client::SetBlocked(int64_t other, bool block, Clock::time_point deadline) {
  BlockChange change;
  change.person = person_;
  change.other = other;
  change.block = block;
  const size_t begun = recorder_->Begin(change);
  absl::Status status;
  if (block) {
    chat::v1::BlockUserRequest request;
    request.set_user_id(other);
    request.set_request_id(RandomBytes(16));
    status = CallUntil(deadline, &chat::v1::ContactService::Stub::BlockUser, request).status();
  } else {
    chat::v1::UnblockUserRequest request;
    request.set_user_id(other);
    request.set_request_id(RandomBytes(16));
    status = CallUntil(deadline, &chat::v1::ContactService::Stub::UnblockUser, request).status();
  }
  recorder_->Answered(begun, OutcomeOf(status.ok(), LeavesOpen(status)));
}

bool Client::Read(int64_t conversation, int64_t seq) {
  chat::v1::MarkReadRequest request;
  request.set_conversation_id(conversation);
  request.set_seq(seq);
  Reading reading;
  reading.person = person_;
  reading.conversation = conversation;
  reading.asked = seq;
  reading.invoked = recorder_->Now();
  const auto answer = Call(&chat::v1::MessageService::Stub::MarkRead, request);
  if (!answer.ok()) return false;
  reading.read_seq = answer->read_seq();
  reading.unread = answer->unread_count();
  recorder_->Add(reading);
  return true;
}

absl::Status Client::ReadHistory(int64_t conversation) {
  chat::v1::ListEntriesRequest request;
  request.set_conversation_id(conversation);
  request.set_after_seq(0);
  request.set_page_size(kPage);
  do {
    const auto page = Call(&chat::v1::MessageService::Stub::ListEntries, request);
    if (!page.ok()) return page.status();
    for (const auto& entry : page->entries()) SeeEntry(entry);
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

bool Client::LeavesOpen(const absl::Status& status) {
  return client::IsRetryable(status) || absl::IsUnauthenticated(status) ||
         absl::IsInternal(status) || absl::IsUnknown(status);
}

bool Client::Pause(Clock::time_point deadline) {
  if (Clock::now() + kRetry > deadline) return false;
  std::this_thread::sleep_for(kRetry);
  return true;
}

absl::StatusOr<std::string> Client::Token() {
  // Shared: the callback may still hold it when the wait is over.
  auto token = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
  tokens_->GetToken(std::exchange(refused_, {}), [token](absl::StatusOr<std::string> answer) {
    token->set_value(std::move(answer));
  });
  return token->get_future().get();
}

void Client::OnConnection(ConnectionState state, const absl::Status& why, milliseconds) {
  const bool lost = state == ConnectionState::kWaiting || state == ConnectionState::kEnded;
  if (lost) {
    const bool over = state == ConnectionState::kEnded;
    recorder_->Tell(number_, {.kind = Told::Kind::kDisconnected,
                              .first = static_cast<int64_t>(why.code()),
                              .second = over ? 1 : 0});
    if (over) recorder_->Note(absl::StrCat(name_, " is turned away: ", why.ToString()));
  }
  if (state == ConnectionState::kLive) recorder_->Tell(number_, {.kind = Told::Kind::kLive});
  MutexLock lock(&mu_);
  state_ = state;
  if (lost) ++losses_;
  changed_.NotifyAll();
}

void Client::OnForgotten() { recorder_->Tell(number_, {.kind = Told::Kind::kForgot}); }

void Client::OnConversation(const chat::v1::Conversation& conversation, bool listed) {
  recorder_->Tell(number_, {.kind = listed ? Told::Kind::kListed : Told::Kind::kConversation,
                            .conversation = conversation.conversation_id(),
                            .seq = conversation.last_seq(),
                            .first = conversation.read_seq(),
                            .second = conversation.unread_count()});
}

void Client::OnEntry(const chat::v1::Entry& entry) { SeeEntry(entry); }

void Client::SeeEntry(const chat::v1::Entry& entry) {
  recorder_->Tell(number_, {.kind = Told::Kind::kEntry,
                            .conversation = entry.conversation_id(),
                            .seq = entry.seq(),
                            .user = entry.sender_user_id(),
                            .first = TimeUtil::TimestampToMicroseconds(entry.at()),
                            .second = static_cast<int64_t>(entry.body_case()),
                            .hash = HashOfBody(entry),
                            .request_id = ToRequestId(entry.request_id())});
}

void Client::OnGap(const chat::v1::Gap& gap) {
  recorder_->Tell(number_, {.kind = Told::Kind::kGap,
                            .conversation = gap.conversation_id(),
                            .seq = gap.to_seq(),
                            .first = gap.from_seq()});
}

void Client::OnWatermark(const chat::v1::WatermarkChanged& changed) {
  recorder_->Tell(number_, {.kind = Told::Kind::kWatermark,
                            .conversation = changed.conversation_id(),
                            .user = changed.watermark().user_id(),
                            .first = changed.watermark().read_seq(),
                            .second = changed.watermark().delivered_seq()});
}

void Client::OnOwnRecord(const chat::v1::OwnRecord& record) {
  Told told;
  told.first = record.position();
  switch (record.record_case()) {
    case chat::v1::OwnRecord::kContact:
      told.kind = Told::Kind::kOwnContact;
      told.user = record.contact().user_id();
      told.second = record.contact().state() + (record.contact().blocked() ? 100 : 0);
      break;
    case chat::v1::OwnRecord::kSettings:
      told.kind = Told::Kind::kOwnSettings;
      told.second = record.settings().reachability();
      break;
    case chat::v1::OwnRecord::kReadMark:
      told.kind = Told::Kind::kOwnReadMark;
      told.conversation = record.read_mark().conversation_id();
      told.seq = record.read_mark().read_seq();
      break;
    case chat::v1::OwnRecord::RECORD_NOT_SET:
      return;
  }
  recorder_->Tell(number_, told);
}

}  // namespace im::faults
