#include "tests/faults/worker.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "im/chat/v1/contacts.grpc.pb.h"
#include "im/chat/v1/conversations.grpc.pb.h"

namespace im::faults {

using chat::v1::ConversationService;
using chat::v1::Entry;
using google::protobuf::util::TimeUtil;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr size_t kRemembered = 20;
// What an impatient person and a patient one wait for an answer.
constexpr seconds kImpatient(3), kPatient(30);
constexpr size_t kMostThinkMs = 250;

Place PlaceOf(int64_t conversation, bool has_entry, const Entry& entry) {
  return has_entry ? Place{conversation, entry.seq(), TimeUtil::TimestampToMicroseconds(entry.at())}
                   : Place{conversation, 0, 0};
}

template <typename Response>
absl::StatusOr<Place> PlaceOf(int64_t conversation, const absl::StatusOr<Response>& response) {
  if (!response.ok()) return response.status();
  return PlaceOf(conversation, response->has_entry(), response->entry());
}

}  // namespace

Worker::Worker(Client* client, Person* person, std::map<int64_t, Person*> everybody, bool first,
               uint64_t seed)
    : client_(client),
      person_(person),
      everybody_(std::move(everybody)),
      first_(first),
      random_(seed),
      door_(static_cast<size_t>(client->number())) {
  ConnectAgain({});
}

void Worker::Run(uint64_t round, Clock::time_point until, milliseconds patience) {
  round_ = round;
  begun_ = Clock::now();
  until_ = until;
  give_up_ = until + patience;
  SettleForgotten(give_up_);
  while (Clock::now() < until_) {
    Think();
    if (client_->IsOver()) {
      ConnectAgain(client_->Disconnect());
    } else if (open_.empty() && !IsQuiet(person_->id, 0.5, 1.2)) {
      Step();
    }
    SettleOpen();
  }
}

void Worker::Think() { std::this_thread::sleep_for(milliseconds(Below(kMostThinkMs))); }

Clock::time_point Worker::Deadline() const { return give_up_; }

void Worker::Step() {
  struct Choice {
    size_t weight;
    void (Worker::*step)();
  };
  static constexpr Choice kChoices[] = {
      {460, &Worker::SendOne},       {200, &Worker::SendAndForget}, {40, &Worker::SendSeveral},
      {50, &Worker::SendDoubled},    {40, &Worker::RepeatOld},      {8, &Worker::ReuseRequestId},
      {90, &Worker::MarkRead},       {40, &Worker::ReadAndAsk},     {18, &Worker::LeaveOrReturn},
      {25, &Worker::AddSomebody},    {6, &Worker::RemoveSomebody},  {3, &Worker::CreateGroup},
      {20, &Worker::BlockOrUnblock}, {4, &Worker::ChangeSettings},  {25, &Worker::Reconnect},
  };
  static const size_t kAll = [] {
    size_t sum = 0;
    for (const Choice& choice : kChoices) sum += choice.weight;
    return sum;
  }();
  size_t number = Below(kAll);
  for (const Choice& choice : kChoices) {
    if (number < choice.weight) return (this->*choice.step)();
    number -= choice.weight;
  }
}

bool Worker::IsQuiet(int64_t id, double from, double to) const {
  const double passed = std::chrono::duration<double>(Clock::now() - begun_).count();
  const double all = std::chrono::duration<double>(until_ - begun_).count();
  // The same for all workers.
  std::mt19937_64 random(round_ * 1'000'003 + static_cast<uint64_t>(id));
  const double share = static_cast<double>(random() % 1'000) / 1'000;
  return passed > all * (from + share * (to - from));
}

int64_t Worker::AnyGroup() {
  MutexLock lock(&person_->mu);
  if (person_->groups.empty()) return 0;
  const int64_t group = person_->groups[Below(person_->groups.size())];
  return IsQuiet(group, 0.3, 1.1) ? 0 : group;
}

int64_t Worker::AnyConversation() {
  const int64_t group = Below(2) == 0 ? AnyGroup() : 0;
  if (group != 0) return group;
  auto direct = person_->directs.begin();
  std::advance(direct, Below(person_->directs.size()));
  return IsQuiet(direct->second, 0.3, 1.1) ? 0 : direct->second;
}

std::string Worker::Text() {
  return absl::StrCat(person_->name, " ", client_->number(), " ", ++texts_, " ",
                      std::string(10 + Below(300), 'x'));
}

void Worker::Await(const Sending& sending) {
  const bool patient = Below(2) == 0;
  const auto limit = std::min<Clock::time_point>(Clock::now() + (patient ? kPatient : kImpatient),
                                                 std::max(until_, Clock::now()) + kPatient);
  if (sending.outcome.wait_until(limit) != std::future_status::ready) {
    ConnectAgain(client_->Disconnect());
  }
  const Outcome outcome = sending.outcome.get();
  if (outcome == Outcome::kUnknown) open_.push_back(sending.request);
  if (outcome == Outcome::kDone) {
    done_.push_back(sending.request);
    if (done_.size() > kRemembered) done_.pop_front();
  }
}

void Worker::SettleOpen() {
  while (!open_.empty()) {
    if (client_->Settle(open_.front(), Deadline()) == Outcome::kUnknown) return;
    open_.pop_front();
  }
}

void Worker::SettleForgotten(Clock::time_point deadline) {
  while (!forgotten_.empty()) {
    if (client_->Settle(forgotten_.front(), deadline) == Outcome::kUnknown) return;
    forgotten_.pop_front();
  }
}

void Worker::SendOne() {
  const int64_t conversation = AnyConversation();
  if (conversation != 0) Await(client_->Send(conversation, Text()));
}

void Worker::SendAndForget() {
  chat::v1::SendMessageRequest request;
  request.set_conversation_id(AnyConversation());
  request.set_request_id(RandomBytes(16));
  request.mutable_content()->mutable_text()->set_body(Text());
  if (request.conversation_id() == 0) return;
  if (client_->SendOnce(request, /*hasty=*/true) == Outcome::kUnknown) {
    forgotten_.push_back(std::move(request));
  }
}

void Worker::SendSeveral() {
  const int64_t conversation = AnyConversation();
  if (conversation == 0) return;
  std::vector<Sending> sent;
  for (size_t i = 0; i < 2 + Below(4); ++i) sent.push_back(client_->Send(conversation, Text()));
  for (const Sending& sending : sent) Await(sending);
}

void Worker::SendDoubled() {
  const int64_t conversation = AnyConversation();
  if (conversation == 0) return;
  const Sending sending = client_->Send(conversation, Text());
  client_->SendOnce(sending.request);
  Await(sending);
}

void Worker::RepeatOld() {
  if (!done_.empty()) client_->SendOnce(done_[Below(done_.size())]);
}

void Worker::ReuseRequestId() {
  if (done_.empty()) return;
  chat::v1::SendMessageRequest request = done_[Below(done_.size())];
  request.mutable_content()->mutable_text()->set_body(Text());
  client_->SendOnce(request);
}

void Worker::MarkRead() {
  // Past the last one: all.
  const int64_t conversation = AnyConversation();
  if (conversation != 0) client_->session().MarkRead(conversation, INT64_MAX);
}

void Worker::ReadAndAsk() {
  const int64_t conversation = AnyConversation();
  if (conversation != 0) client_->Read(conversation, 1 + static_cast<int64_t>(Below(500)));
}

void Worker::ChangeMembers(EntryKind kind, int64_t group,
                           const std::function<absl::StatusOr<Place>(const std::string&)>& call,
                           bool* done) {
  const std::string request_id = RandomBytes(16);
  const auto once = [&] { return call(request_id); };
  const Attempt attempt = client_->Change(kind, group, request_id, once, Deadline());
  if (done != nullptr) *done = attempt.outcome == Outcome::kDone;
  if (attempt.outcome == Outcome::kDone && attempt.seq > 0 && Below(3) == 0) {
    client_->Change(kind, attempt.conversation, request_id, once, Deadline());
  }
}

void Worker::LeaveOrReturn() {
  int64_t group = AnyGroup();
  if (group == 0) return;
  bool away = false, done = false;
  {
    // Back first, or in time nobody would be anywhere.
    MutexLock lock(&person_->mu);
    away = !person_->left.empty();
    if (away) group = *person_->left.begin();
  }
  if (away) {
    ChangeMembers(
        EntryKind::kMemberReturned, group,
        [&](const std::string& id) {
          chat::v1::ReturnToGroupRequest request;
          request.set_conversation_id(group);
          request.set_request_id(id);
          return PlaceOf(group, client_->Call(&ConversationService::Stub::ReturnToGroup, request));
        },
        &done);
  } else {
    ChangeMembers(
        EntryKind::kMemberLeft, group,
        [&](const std::string& id) {
          chat::v1::LeaveGroupRequest request;
          request.set_conversation_id(group);
          request.set_request_id(id);
          return PlaceOf(group, client_->Call(&ConversationService::Stub::LeaveGroup, request));
        },
        &done);
  }
  MutexLock lock(&person_->mu);
  // Refused: somebody else changed it meanwhile, by removing or adding.
  if (away || !done) {
    person_->left.erase(group);
  } else {
    person_->left.insert(group);
  }
}

void Worker::AddSomebody() {
  const int64_t group = AnyGroup(), whom = AnyOther();
  if (group == 0) return;
  bool done = false;
  ChangeMembers(
      EntryKind::kMembersAdded, group,
      [&](const std::string& id) {
        chat::v1::AddMembersRequest request;
        request.set_conversation_id(group);
        request.set_request_id(id);
        request.add_user_ids(whom);
        return PlaceOf(group, client_->Call(&ConversationService::Stub::AddMembers, request));
      },
      &done);
  if (!done) return;
  Person* const other = everybody_.at(whom);
  MutexLock lock(&other->mu);
  if (std::find(other->groups.begin(), other->groups.end(), group) == other->groups.end()) {
    other->groups.push_back(group);
  }
}

void Worker::RemoveSomebody() {
  const int64_t group = AnyGroup(), whom = AnyOther();
  if (group == 0) return;
  ChangeMembers(EntryKind::kMemberRemoved, group, [&](const std::string& id) {
    chat::v1::RemoveMemberRequest request;
    request.set_conversation_id(group);
    request.set_request_id(id);
    request.set_user_id(whom);
    return PlaceOf(group, client_->Call(&ConversationService::Stub::RemoveMember, request));
  });
}

void Worker::CreateGroup() {
  std::set<int64_t> others;
  for (size_t i = 0; i < 1 + Below(4); ++i) others.insert(AnyOther());
  const bool open_history = Below(2) == 0;
  int64_t made = 0;
  ChangeMembers(EntryKind::kGroupCreated, 0, [&](const std::string& id) -> absl::StatusOr<Place> {
    chat::v1::CreateGroupRequest request;
    request.set_request_id(id);
    request.set_title(absl::StrCat("of ", person_->name));
    request.mutable_user_ids()->Assign(others.begin(), others.end());
    request.set_open_history(open_history);
    const auto response = client_->Call(&ConversationService::Stub::CreateGroup, request);
    if (!response.ok()) return response.status();
    made = response->conversation().conversation_id();
    return Place{made, 1, 0};
  });
  if (made == 0) return;
  others.insert(person_->id);
  for (const int64_t id : others) {
    Person* const member = everybody_.at(id);
    MutexLock lock(&member->mu);
    if (std::find(member->groups.begin(), member->groups.end(), made) == member->groups.end()) {
      member->groups.push_back(made);
    }
  }
}

void Worker::BlockOrUnblock() {
  // One device of a person, so that it is always clear which came last.
  if (!first_) return SendOne();
  if (!blocked_.empty()) {
    client_->SetBlocked(*blocked_.begin(), false, Deadline());
    blocked_.erase(blocked_.begin());
    return;
  }
  auto peer = person_->directs.begin();
  std::advance(peer, Below(person_->directs.size()));
  client_->SetBlocked(peer->first, true, Deadline());
  blocked_.insert(peer->first);
}

void Worker::ChangeSettings() {
  chat::v1::UpdateSettingsRequest request;
  request.set_request_id(RandomBytes(16));
  request.set_reachability(Below(3) == 0 ? chat::v1::REACHABILITY_CONTACTS
                                         : chat::v1::REACHABILITY_ANYONE);
  // Whatever comes of it, the own log tells.
  client_->Call(&chat::v1::ContactService::Stub::UpdateSettings, request).IgnoreError();
}

void Worker::Reconnect() {
  client::Snapshot snapshot = client_->Disconnect();
  if (Below(2) == 0) std::this_thread::sleep_for(milliseconds(Below(3'000)));
  switch (Below(6)) {
    case 0:
      return ConnectAgain({});
    case 1:
      // As after a crash, with what was written down some time ago.
      return ConnectAgain(old_);
    case 2:
      old_ = snapshot;
      [[fallthrough]];
    default:
      return ConnectAgain(std::move(snapshot));
  }
}

void Worker::ConnectAgain(client::Snapshot snapshot) {
  if (Below(2) == 0) ++door_;
  client_->Connect(std::move(snapshot), door_);
}

}  // namespace im::faults
