#include "tests/e2e/person.h"

#include <gtest/gtest.h>

#include <chrono>
#include <set>

#include "common/base/random.h"
#include "tests/support/log_secrets.h"

namespace im::testing {
namespace {

constexpr char kPassword[] = "correct horse 4711";

std::shared_ptr<client::Channel> Open(const std::string& server) {
  return *client::Channel::Open({.server = server});
}

template <typename T>
T Must(absl::StatusOr<T> result) {
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : T();
}

chat::v1::Content Text(const std::string& body) {
  chat::v1::Content content;
  content.mutable_text()->set_body(body);
  return content;
}

}  // namespace

Device::Device(const std::string& server, const auth::v1::Tokens& tokens,
               client::SessionOptions options)
    : channel_(Open(server)) {
  session_ = std::make_unique<client::Session>(
      channel_, std::make_shared<client::MemoryTokens>(channel_, tokens), &timers_, this, options);
  session_->Start();
}

Device::~Device() { session_->Stop(); }

template <typename F>
void Device::Note(F change) {
  std::lock_guard<std::mutex> lock(mu_);
  change();
  changed_.notify_all();
}

void Device::OnConnection(client::ConnectionState now, const absl::Status& reason,
                          std::chrono::milliseconds) {
  Note([&] {
    state = now;
    why = reason;
  });
}
void Device::OnEntry(const chat::v1::Entry& entry) {
  Note([&] { entries.push_back(entry); });
}
void Device::OnGap(const chat::v1::Gap& gap) {
  Note([&] { gaps.push_back(gap); });
}
void Device::OnOwnRecord(const chat::v1::OwnRecord& record) {
  Note([&] { own_records.push_back(record); });
}
void Device::OnWatermark(const chat::v1::WatermarkChanged& changed) {
  Note([&] { watermarks.push_back(changed); });
}
void Device::OnTyping(const chat::v1::TypingChanged& changed) {
  Note([&] { typings.push_back(changed); });
}
void Device::OnPresence(const presence::v1::Event& event) {
  Note([&] {
    if (event.complete()) {
      std::set<int64_t> listed;
      for (const auto& presence : event.presences()) listed.insert(presence.user_id());
      for (const auto& [user, status] : std::map(screen)) {
        if (listed.count(user) == 0) Show(user, presence::v1::STATUS_OFFLINE);
      }
    }
    for (const auto& presence : event.presences()) {
      presences.push_back(presence);
      Show(presence.user_id(), presence.status());
    }
  });
}
void Device::Show(int64_t user, presence::v1::Status status) {
  const auto shown = screen.try_emplace(user, presence::v1::STATUS_OFFLINE).first;
  if (status == presence::v1::STATUS_OFFLINE && shown->second != status) ++went_offline;
  shown->second = status;
}
void Device::OnForgotten() {
  Note([&] {
    ++forgotten;
    entries.clear();
  });
}

bool Device::WaitFor(const std::function<bool(const Device&)>& condition,
                     std::chrono::seconds patience) {
  std::unique_lock<std::mutex> lock(mu_);
  return changed_.wait_for(lock, patience, [&] { return condition(*this); });
}

void Device::WaitLive() {
  EXPECT_TRUE(WaitFor([](const Device& device) {
    return device.state == client::ConnectionState::kLive;
  })) << "not live: "
      << why;
}

absl::StatusOr<chat::v1::SendMessageResponse> Device::Sends(int64_t conversation,
                                                            const std::string& text,
                                                            std::chrono::seconds patience) {
  // The answer may come after this has given up.
  auto outcome = std::make_shared<std::optional<absl::StatusOr<chat::v1::SendMessageResponse>>>();
  session_->Send(conversation, Text(text),
                 [this, outcome](auto result) { Note([&] { *outcome = std::move(result); }); });
  std::unique_lock<std::mutex> lock(mu_);
  if (!changed_.wait_for(lock, patience, [&] { return outcome->has_value(); })) {
    return absl::DeadlineExceededError("no answer");
  }
  return **outcome;
}

std::vector<std::string> Device::Hears(int64_t conversation, size_t count) {
  std::vector<std::string> texts;
  EXPECT_TRUE(WaitFor([&](const Device& device) {
    texts.clear();
    for (const chat::v1::Entry& entry : device.entries) {
      if (entry.conversation_id() == conversation && entry.has_message()) {
        texts.push_back(entry.message().text().body());
      }
    }
    return texts.size() >= count;
  })) << "heard "
      << texts.size() << " of " << count;
  return texts;
}

std::vector<chat::v1::Entry> Device::Entries() {
  std::lock_guard<std::mutex> lock(mu_);
  return entries;
}

Person::Person(const std::string& server, const std::string& name)
    : server_(server), name_(name), channel_(Open(server)) {
  auth::v1::RegisterRequest request;
  request.set_user_name(name);
  request.set_password(kPassword);
  const auto response = Must(channel_->Call(&auth::v1::AccountService::Stub::Register, request));
  tokens_ = response.tokens();
  RegisterSecret(kPassword);
  RegisterSecret(tokens_.refresh_token());
  id_ = response.profile().user_id();
}

auth::v1::Tokens Person::LogsIn() {
  auth::v1::LogInRequest request;
  request.set_user_name(name_);
  request.set_password(kPassword);
  return Must(channel_->Call(&auth::v1::AccountService::Stub::LogIn, request)).tokens();
}

std::unique_ptr<Device> Person::Connects(client::SessionOptions options) {
  return std::make_unique<Device>(server_, LogsIn(), std::move(options));
}

void Person::Befriends(Person& other) {
  chat::v1::RequestContactRequest request;
  request.set_user_id(other.id());
  request.set_request_id(RandomBytes(16));
  Must(Call(&chat::v1::ContactService::Stub::RequestContact, request));
  chat::v1::AcceptContactRequest accept;
  accept.set_user_id(id_);
  accept.set_request_id(RandomBytes(16));
  Must(other.Call(&chat::v1::ContactService::Stub::AcceptContact, accept));
}

int64_t Person::OpensDirect(const Person& other) {
  chat::v1::OpenDirectRequest request;
  request.set_user_id(other.id());
  return Must(Call(&chat::v1::ConversationService::Stub::OpenDirect, request))
      .conversation()
      .conversation_id();
}

int64_t Person::CreatesGroup(const std::string& title, const std::vector<int64_t>& members) {
  chat::v1::CreateGroupRequest request;
  request.set_title(title);
  request.set_request_id(RandomBytes(16));
  request.mutable_user_ids()->Assign(members.begin(), members.end());
  return Must(Call(&chat::v1::ConversationService::Stub::CreateGroup, request))
      .conversation()
      .conversation_id();
}

std::vector<std::string> Person::ReadsHistory(int64_t conversation) {
  std::vector<std::string> texts;
  chat::v1::ListEntriesRequest request;
  request.set_conversation_id(conversation);
  request.set_after_seq(0);
  request.set_page_size(200);
  do {
    const auto page = Must(Call(&chat::v1::MessageService::Stub::ListEntries, request));
    for (const auto& entry : page.entries()) {
      if (entry.has_message()) texts.push_back(entry.message().text().body());
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return texts;
}

}  // namespace im::testing
