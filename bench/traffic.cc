#include "bench/traffic.h"

#include <algorithm>
#include <map>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/random.h"
#include "im/chat/v1/conversations.grpc.pb.h"

namespace im::bench {

using chat::v1::ConversationService;
using gateway::v1::ConnectRequest;
using gateway::v1::ServerFrame;
using std::chrono::steady_clock;

namespace {

constexpr size_t kAddedAtOnce = 1'000;
constexpr size_t kSeen = 64;
constexpr std::chrono::seconds kLandingLimit(10);
constexpr std::chrono::milliseconds kLook(5);

}  // namespace

Traffic::~Traffic() {
  crowd_->loop()->Do([this] { closing_ = true; });
  devices_.clear();
}

absl::StatusOr<size_t> Traffic::AddGroup(const std::vector<size_t>& members) {
  const std::string& token = (*crowd_)[members[0]].token;
  chat::v1::CreateGroupRequest create;
  create.set_request_id(RandomBytes(16));
  create.set_title("Traffic");
  const auto created =
      crowd_->channel().Call(&ConversationService::Stub::CreateGroup, create, token);
  if (!created.ok()) return created.status();
  const int64_t id = created->conversation().conversation_id();
  for (size_t first = 1; first < members.size(); first += kAddedAtOnce) {
    chat::v1::AddMembersRequest add;
    add.set_conversation_id(id);
    add.set_request_id(RandomBytes(16));
    for (size_t i = first; i < std::min(first + kAddedAtOnce, members.size()); ++i) {
      add.add_user_ids((*crowd_)[members[i]].account.user_id);
    }
    const auto added = crowd_->channel().Call(&ConversationService::Stub::AddMembers, add, token);
    if (!added.ok()) return added.status();
  }
  Adopt(id, 0, members);
  return groups_.size() - 1;
}

void Traffic::Adopt(int64_t conversation_id, int64_t last_seq, const std::vector<size_t>& members) {
  group_of_[conversation_id] = groups_.size();
  groups_.push_back({.id = conversation_id, .first_seq = last_seq, .members = members, .seqs = {}});
}

absl::Status Traffic::Connect() {
  return OpenStreams(
      crowd_->size(), progress_,
      [this](size_t i) {
        devices_.push_back(std::make_unique<Device>(this, crowd_->loop(), (*crowd_)[i].token));
      },
      [this] { return ready_.load(); }, [this] { return failed() ? failure() : absl::OkStatus(); });
}

void Traffic::Send(size_t group, size_t sender, Time due) {
  const uint32_t number = next_++;
  ConnectRequest frame;
  frame.set_call_id(number + 1);
  FillMessage({.a = run_, .c = number}, groups_[group].id, frame.mutable_send_message());
  flights_[number] = {group, due, 0, groups_[group].members.size() - 1};
  devices_[sender]->Send(frame);
}

void Traffic::OnFrame(const ServerFrame& frame) {
  if (frame.has_caught_up()) ++ready_;
  if (frame.has_resync()) Fail(absl::AbortedError("the server said Resync"));
  if (frame.has_session_end()) Fail(absl::AbortedError("the server ended a stream"));
  if (frame.has_answer() && frame.answer().has_failure()) {
    Fail(absl::AbortedError(
        absl::StrCat(frame.answer().failure().reason(), ": ", frame.answer().failure().message())));
  }
}

bool Traffic::OnBytes(Device* device, std::string_view message) {
  for (const Seen& seen : seen_) {
    if (seen.bytes != message) continue;
    Delivered(device, seen.group, seen.number, seen.seq);
    return true;
  }
  gateway::v1::ConnectResponse response;
  if (!response.ParseFromArray(message.data(), static_cast<int>(message.size()))) return false;
  if (!response.frame().has_chat() || !response.frame().chat().has_entry()) return false;
  const chat::v1::Entry& entry = response.frame().chat().entry();
  if (!entry.has_message()) return true;  // of a group's making
  const auto group = group_of_.find(entry.conversation_id());
  const auto number = RequestNumber::FromId(entry.request_id());
  if (!number || number->a != run_ || group == group_of_.end() ||
      entry.message().text().body() != MessageBody(*number)) {
    ++corrupted_;
    return true;
  }
  if (seen_.size() == kSeen) seen_.pop_back();
  seen_.push_front({std::string(message), group->second, number->c, entry.seq()});
  Delivered(device, group->second, number->c, entry.seq());
  return true;
}

void Traffic::Delivered(Device* device, size_t group, uint32_t number, int64_t seq) {
  const auto found = flights_.find(number);
  if (found == flights_.end()) {
    ++duplicated_;
    return;
  }
  Flight& flight = found->second;
  if (flight.seq == 0) flight.seq = seq;
  if (flight.seq != seq) ++duplicated_;
  if (!device->newest[group].Rises(seq)) ++reordered_;
  if (measuring_) ++deliveries_;
  if (--flight.missing > 0) return;
  if (measuring_) {
    ++landed_count_;
    latency_.Record(
        std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - flight.due)
            .count());
  }
  groups_[group].seqs[number] = flight.seq;
  flights_.erase(found);
  if (landed_) landed_(group);
}

void Traffic::Measure(bool on) {
  measuring_ = on;
  if (!on) return;
  latency_ = Histogram();
  landed_count_ = deliveries_ = 0;
}

void Traffic::Fail(const absl::Status& status) {
  if (closing_ || failed_.load()) return;
  failure_ = status.ok() ? absl::UnavailableError("a stream ended") : status;
  failed_.store(true);
}

absl::Status Traffic::failure() {
  absl::Status failure;
  crowd_->loop()->Do([&] { failure = failure_; });
  return failure;
}

void Traffic::Drain() {
  const auto deadline = steady_clock::now() + kLandingLimit;
  for (size_t in_flight = 1; in_flight > 0 && steady_clock::now() < deadline && !failed();) {
    std::this_thread::sleep_for(kLook);
    crowd_->loop()->Do([&] { in_flight = flights_.size(); });
  }
}

absl::Status Traffic::Judge(Outcome* outcome) {
  crowd_->loop()->Do([&] {
    outcome->latency = latency_;
    outcome->duplicated = duplicated_;
    outcome->reordered = reordered_;
    outcome->corrupted = corrupted_;
    for (const auto& [number, flight] : flights_) {
      outcome->lost += static_cast<int64_t>(flight.missing);
    }
  });
  progress_->Begin("checking", static_cast<int64_t>(groups_.size()));
  for (size_t i = 0; i < groups_.size(); ++i) {
    const Group& group = groups_[i];
    std::unordered_map<uint32_t, int64_t> stored;
    // By sender; they number what they send.
    std::unordered_map<int64_t, uint32_t> newest;
    IM_RETURN_IF_ERROR(ReadBack(&crowd_->channel(), (*crowd_)[group.members[0]].token, group.id,
                                group.first_seq, [&](const chat::v1::Entry& entry) {
                                  const auto number = RequestNumber::FromId(entry.request_id());
                                  if (!number || number->a != run_) return;
                                  if (!stored.emplace(number->c, entry.seq()).second) {
                                    ++outcome->duplicated;
                                  }
                                  uint32_t& before = newest[entry.sender_user_id()];
                                  if (number->c < before) ++outcome->reordered;
                                  before = std::max(before, number->c);
                                }));
    for (const auto& [number, seq] : group.seqs) {
      const auto found = stored.find(number);
      if (found == stored.end()) {
        ++outcome->lost;
      } else if (found->second != seq) {
        ++outcome->duplicated;
      }
    }
    outcome->messages += static_cast<int64_t>(stored.size());
    progress_->Done(static_cast<int64_t>(i) + 1);
  }
  return failure();
}

}  // namespace im::bench
