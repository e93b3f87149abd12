#include "bench/member.h"

#include <algorithm>

#include "im/chat/v1/messages.grpc.pb.h"

namespace im::bench {

using std::chrono::steady_clock;

namespace {

// Short, so that a call which hangs in a stopped process is tried again soon.
constexpr std::chrono::seconds kCallTimeout(5);
constexpr int kPage = 200;

}  // namespace

KnownEntry Known(const chat::v1::Entry& entry) {
  KnownEntry known{
      entry.seq(), entry.sender_user_id(), entry.request_id(), entry.has_message(), {}};
  if (entry.has_message()) {
    known.content = entry.message().text().body();
  } else {
    // Of what happened only: the rest is compared by itself or is the server's own.
    chat::v1::Entry body = entry;
    body.clear_conversation_id();
    body.clear_seq();
    body.clear_sender_user_id();
    body.clear_at();
    body.clear_request_id();
    body.clear_count();
    known.content = body.SerializeAsString();
  }
  return known;
}

absl::StatusOr<std::unique_ptr<Member>> Member::Connect(const std::string& address,
                                                        const Account& account,
                                                        client::Timers* timers) {
  auto channel = client::Channel::Open({.server = address, .call_timeout = kCallTimeout});
  if (!channel.ok()) return channel.status();
  return std::unique_ptr<Member>(new Member(*std::move(channel), account, timers));
}

Member::Member(std::shared_ptr<client::Channel> channel, const Account& account,
               client::Timers* timers)
    : user_id_(account.user_id),
      channel_(std::move(channel)),
      tokens_(std::make_shared<client::MemoryTokens>(channel_, account.tokens)),
      session_(std::make_unique<client::Session>(channel_, tokens_, timers, this,
                                                 client::SessionOptions())) {
  session_->Start();
}

bool Member::live() const {
  MutexLock lock(&mu_);
  return state_ == client::ConnectionState::kLive;
}

absl::Status Member::ended() const {
  MutexLock lock(&mu_);
  return ended_;
}

int64_t Member::newest_seq() const {
  MutexLock lock(&mu_);
  return newest_seq_;
}

int64_t Member::arrivals() const {
  MutexLock lock(&mu_);
  return static_cast<int64_t>(arrivals_.size());
}

absl::StatusOr<std::string> Member::Token(const std::string& refused) {
  auto token = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
  auto got = token->get_future();
  tokens_->GetToken(refused,
                    [token](absl::StatusOr<std::string> one) { token->set_value(std::move(one)); });
  return got.get();
}

absl::StatusOr<chat::v1::SendMessageResponse> Member::Say(int64_t conversation_id,
                                                          const std::string& text,
                                                          Deadline deadline) {
  using Stored = absl::StatusOr<chat::v1::SendMessageResponse>;
  chat::v1::Content content;
  content.mutable_text()->set_body(text);
  auto stored = std::make_shared<std::promise<Stored>>();
  auto got = stored->get_future();
  session_->Send(conversation_id, content,
                 [stored](Stored answer) { stored->set_value(std::move(answer)); });
  if (got.wait_until(deadline) != std::future_status::ready) {
    return absl::DeadlineExceededError("a message was not stored in time");
  }
  return got.get();
}

absl::StatusOr<std::vector<KnownEntry>> Member::List(int64_t conversation_id, int64_t from,
                                                     int64_t to, Deadline deadline) {
  chat::v1::ListEntriesRequest request;
  request.set_conversation_id(conversation_id);
  request.set_page_size(kPage);
  request.set_after_seq(from - 1);
  request.set_to_seq(to);
  std::vector<KnownEntry> listed;
  for (;;) {
    const auto page = Call(&chat::v1::MessageService::Stub::ListEntries, request, deadline);
    if (!page.ok()) return page.status();
    for (const auto& entry : page->entries()) listed.push_back(Known(entry));
    if (page->next_page_token().empty()) return listed;
    request.set_page_token(page->next_page_token());
  }
}

absl::StatusOr<std::vector<KnownEntry>> Member::Finish(int64_t conversation_id, Deadline deadline) {
  session_->Stop();
  std::vector<KnownEntry> seen;
  std::vector<Gap> gaps;
  {
    MutexLock lock(&mu_);
    for (const Arrival& arrival : arrivals_) seen.push_back(arrival.entry);
    gaps = gaps_;
  }
  // From behind, so that the places before stay what they are.
  std::reverse(gaps.begin(), gaps.end());
  for (const Gap& gap : gaps) {
    auto loaded = List(conversation_id, gap.from, gap.to, deadline);
    if (!loaded.ok()) return loaded.status();
    seen.insert(seen.begin() + static_cast<std::ptrdiff_t>(gap.place), loaded->begin(),
                loaded->end());
  }
  return seen;
}

const std::vector<Member::Arrival>& Member::live_arrivals() const {
  MutexLock lock(&mu_);
  return arrivals_;
}

void Member::OnConnection(client::ConnectionState state, const absl::Status& why,
                          std::chrono::milliseconds /*retry_in*/) {
  MutexLock lock(&mu_);
  state_ = state;
  if (state == client::ConnectionState::kEnded) ended_ = why;
}

void Member::OnForgotten() {
  MutexLock lock(&mu_);
  ended_ = absl::DataLossError("the server's data is not what it was (another epoch)");
}

void Member::OnConversation(const chat::v1::Conversation& conversation, bool listed) {
  // What was there before the list was read does not come by itself.
  if (!listed || conversation.last_seq() == 0) return;
  MutexLock lock(&mu_);
  gaps_.push_back({arrivals_.size(), 1, conversation.last_seq()});
  newest_seq_ = std::max(newest_seq_, conversation.last_seq());
}

void Member::OnEntry(const chat::v1::Entry& entry) {
  Arrival arrival{Known(entry), steady_clock::now()};
  MutexLock lock(&mu_);
  newest_seq_ = std::max(newest_seq_, entry.seq());
  arrivals_.push_back(std::move(arrival));
}

void Member::OnGap(const chat::v1::Gap& gap) {
  MutexLock lock(&mu_);
  gaps_.push_back({arrivals_.size(), gap.from_seq(), gap.to_seq()});
  newest_seq_ = std::max(newest_seq_, gap.to_seq());
}

}  // namespace im::bench
