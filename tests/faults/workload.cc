#include "tests/faults/workload.h"

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "im/chat/v1/contacts.grpc.pb.h"
#include "im/chat/v1/conversations.grpc.pb.h"
#include "tests/faults/stored.h"
#include "tests/support/log_secrets.h"

namespace im::faults {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr char kPassword[] = "correct horse 4711";
constexpr size_t kPeople = 14;
// Each is acquainted with those this far down the list.
constexpr size_t kDistances[] = {1, 2, 5};
constexpr size_t kGroupSizes[] = {2, 3, 3, 4, 5, 7, 10, kPeople};
// After a round, for what was left open: longer than services take to come back.
constexpr seconds kSettle(60);
constexpr milliseconds kLook(200);

template <typename T>
T Must(absl::StatusOr<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().ToString());
  return *std::move(result);
}

}  // namespace

Workload::Workload(Recorder* recorder, std::vector<std::string> doors, uint64_t seed)
    : recorder_(recorder), doors_(std::move(doors)), seed_(seed) {
  channel_ = *client::Channel::Open({.server = doors_.front()});
  for (size_t i = 0; i < kPeople; ++i) Register(absl::StrCat("person", i + 1));
  for (const auto& person : people_) {
    for (const auto& other : people_) {
      if (other != person) person->others.push_back(other->id);
    }
  }
  // Two or three devices each.
  std::vector<std::pair<Client*, Person*>> devices;
  for (size_t i = 0; i < kPeople; ++i) {
    for (size_t j = 0; j < 2 + i % 2; ++j) {
      Person* const person = people_[i].get();
      devices.emplace_back(
          AddClient(*person, absl::StrCat(person->name, "-", j + 1), Device::Part::kUser), person);
    }
  }
  for (size_t i = 0; i < kPeople; ++i) {
    for (const size_t distance : kDistances) BecomeContacts(i, (i + distance) % kPeople);
    chat::v1::UpdateSettingsRequest request;
    request.set_request_id(RandomBytes(16));
    request.set_reachability(chat::v1::REACHABILITY_ANYONE);
    Must(SetUpClient(i)->Call(&chat::v1::ContactService::Stub::UpdateSettings, request));
  }
  for (size_t i = 0; i < std::size(kGroupSizes); ++i) {
    std::vector<size_t> others;
    for (size_t j = 1; j < kGroupSizes[i]; ++j) others.push_back((i + j) % kPeople);
    MakeGroup(i, others, i % 2 == 1);
  }
  Person* before = nullptr;
  for (size_t i = 0; i < devices.size(); ++i) {
    const auto& [client, person] = devices[i];
    workers_.push_back(
        std::make_unique<Worker>(client, person, by_id_, person != before, seed * 1'000 + i));
    before = person;
  }
}

Workload::~Workload() = default;

void Workload::Register(const std::string& name) {
  auth::v1::RegisterRequest request;
  request.set_user_name(name);
  request.set_password(kPassword);
  const auto response = Must(channel_->Call(&auth::v1::AccountService::Stub::Register, request));
  auto person = std::make_unique<Person>();
  person->id = response.profile().user_id();
  person->name = name;
  recorder_->AddPerson(person->id, name);
  by_id_[person->id] = person.get();
  people_.push_back(std::move(person));
}

auth::v1::Tokens Workload::LogIn(const Person& person) {
  auth::v1::LogInRequest request;
  request.set_user_name(person.name);
  request.set_password(kPassword);
  const auto tokens =
      Must(channel_->Call(&auth::v1::AccountService::Stub::LogIn, request)).tokens();
  testing::RegisterSecret(kPassword);
  testing::RegisterSecret(tokens.refresh_token());
  return tokens;
}

Client* Workload::AddClient(const Person& person, const std::string& name, Device::Part part) {
  clients_.push_back(
      std::make_unique<Client>(recorder_, &timers_, doors_, person.id, name, part, LogIn(person)));
  return clients_.back().get();
}

Client* Workload::SetUpClient(size_t person) {
  for (const auto& client : clients_) {
    if (client->person() == people_[person]->id) return client.get();
  }
  throw std::logic_error("no device");
}

void Workload::BecomeContacts(size_t one, size_t other) {
  chat::v1::RequestContactRequest ask;
  ask.set_user_id(people_[other]->id);
  ask.set_request_id(RandomBytes(16));
  Must(SetUpClient(one)->Call(&chat::v1::ContactService::Stub::RequestContact, ask));
  chat::v1::AcceptContactRequest accept;
  accept.set_user_id(people_[one]->id);
  accept.set_request_id(RandomBytes(16));
  Must(SetUpClient(other)->Call(&chat::v1::ContactService::Stub::AcceptContact, accept));
  chat::v1::OpenDirectRequest open;
  open.set_user_id(people_[other]->id);
  const int64_t id =
      Must(SetUpClient(one)->Call(&chat::v1::ConversationService::Stub::OpenDirect, open))
          .conversation()
          .conversation_id();
  people_[one]->directs[people_[other]->id] = id;
  people_[other]->directs[people_[one]->id] = id;
}

void Workload::MakeGroup(size_t founder, const std::vector<size_t>& others, bool open_history) {
  chat::v1::CreateGroupRequest request;
  request.set_title("group");
  request.set_request_id(RandomBytes(16));
  request.set_open_history(open_history);
  for (const size_t other : others) request.add_user_ids(people_[other]->id);
  Client* const client = SetUpClient(founder);
  const Attempt made = client->Change(
      EntryKind::kGroupCreated, 0, request.request_id(),
      [&]() -> absl::StatusOr<Place> {
        const auto response =
            client->Call(&chat::v1::ConversationService::Stub::CreateGroup, request);
        if (!response.ok()) return response.status();
        return Place{response->conversation().conversation_id(), 1, 0};
      },
      Clock::now() + kSettle);
  if (made.outcome != Outcome::kDone) throw std::runtime_error("no group: " + made.reason);
  std::vector<size_t> members = others;
  members.push_back(founder);
  for (const size_t member : members) {
    MutexLock lock(&people_[member]->mu);
    people_[member]->groups.push_back(made.conversation);
  }
}

void Workload::Run(Clock::time_point until) {
  const uint64_t round = seed_ * 1'000 + ++rounds_;
  std::vector<std::thread> threads;
  for (const auto& worker : workers_) {
    threads.emplace_back([&worker, round, until] { worker->Run(round, until, kSettle); });
  }
  for (std::thread& thread : threads) thread.join();
}

void Workload::SettleForgotten() {
  for (const auto& worker : workers_) worker->SettleForgotten(Clock::now() + kSettle);
}

std::vector<Client*> Workload::clients() {
  std::vector<Client*> clients;
  for (const auto& worker : workers_) clients.push_back(worker->client());
  return clients;
}

std::vector<Client*> Workload::Reconnect() {
  for (Client* client : clients()) client->Connect(client->Disconnect(), 0);
  return clients();
}

std::vector<Client*> Workload::ConnectFresh() {
  std::vector<Client*> fresh;
  for (const auto& person : people_) {
    fresh.push_back(AddClient(*person, absl::StrCat(person->name, "-fresh"), Device::Part::kFresh));
    fresh.back()->Connect({}, fresh.size());
  }
  return fresh;
}

void Workload::ReadHistories() {
  for (const auto& person : people_) {
    Client* const reader =
        AddClient(*person, absl::StrCat(person->name, "-reader"), Device::Part::kReader);
    chat::v1::ListConversationsRequest request;
    request.set_page_size(200);
    do {
      const auto page =
          Must(reader->Call(&chat::v1::ConversationService::Stub::ListConversations, request));
      for (const auto& conversation : page.conversations()) {
        const absl::Status read = reader->ReadHistory(conversation.conversation_id());
        if (!read.ok()) throw std::runtime_error(read.ToString());
      }
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
  }
}

namespace {

// What a device lacks of what is stored.
std::vector<Lag> LagsOf(Client* client, const Stored& stored, bool marks) {
  std::vector<Lag> lags;
  const auto expect = [&](const std::string& about, int64_t has, int64_t should) {
    if (has != should) lags.push_back({client->number(), about, has, should});
  };
  if (!client->IsLive()) {
    expect("being connected", 0, 1);
    return lags;
  }
  const client::Snapshot snapshot = client->session().GetSnapshot();
  std::map<int64_t, chat::v1::HaveConversation> has;
  for (const auto& one : snapshot.have.conversations()) has[one.conversation_id()] = one;
  for (const auto& [id, conversation] : stored.conversations) {
    const auto stays = conversation.stays.find(client->person());
    if (stays == conversation.stays.end()) continue;
    expect(absl::StrCat("conversation ", id), has[id].seq(),
           LastVisible(conversation, stays->second));
    const int64_t peer = conversation.low + conversation.high - client->person();
    const auto peers = conversation.stays.find(peer);
    if (!marks || conversation.low == 0 || conversation.last_seq == 0 ||
        peers == conversation.stays.end() || stored.Blocked(client->person(), peer)) {
      continue;
    }
    expect(absl::StrCat("the peer's read mark in conversation ", id), has[id].peer_read_seq(),
           peers->second.back().read_seq);
    expect(absl::StrCat("the peer's delivery mark in conversation ", id),
           has[id].peer_delivered_seq(), peers->second.back().delivered_seq);
  }
  const auto person = stored.people.find(client->person());
  if (person != stored.people.end()) {
    expect("the own log", snapshot.have.own_log_position(), person->second.log_position);
  }
  return lags;
}

}  // namespace

Rest ComeToRest(Recorder* recorder, const std::vector<Client*>& clients,
                const std::string& database_url, milliseconds patience, bool marks) {
  const auto deadline = Clock::now() + patience;
  Rest rest;
  for (Client* client : clients) client->WaitLive(deadline);
  rest.began = recorder->Now();
  if (marks) {
    for (Client* client : clients) client->session().Resync();
  }
  for (;;) {
    const Stored stored = ReadPositions(database_url);
    rest.lags.clear();
    for (Client* client : clients) {
      const std::vector<Lag> lags = LagsOf(client, stored, marks);
      rest.lags.insert(rest.lags.end(), lags.begin(), lags.end());
    }
    if (rest.lags.empty() || Clock::now() + kLook > deadline) break;
    std::this_thread::sleep_for(kLook);
  }
  return rest;
}

}  // namespace im::faults
