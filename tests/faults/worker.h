// Does with one device what a person in a hurry does, one thing after the other.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "tests/faults/client.h"

namespace im::faults {

// Somebody, as their devices know them together.
struct Person {
  int64_t id = 0;
  std::string name;
  // Constant after the set-up: the others, and the direct conversations by peer.
  std::vector<int64_t> others;
  std::map<int64_t, int64_t> directs;

  Mutex mu;
  std::vector<int64_t> groups IM_GUARDED_BY(mu);
  // Groups that they left.
  std::set<int64_t> left IM_GUARDED_BY(mu);
};

// Of one thread.
class Worker {
 public:
  // `first`: the device that does what a person does with one device only, as blocking.
  Worker(Client* client, Person* person, std::map<int64_t, Person*> everybody, bool first,
         uint64_t seed);

  // A round until then, and until nothing is open any more, but at most for `patience` longer.
  void Run(uint64_t round, Clock::time_point until, std::chrono::milliseconds patience);
  // Tries again what was forgotten in the round before.
  void SettleForgotten(Clock::time_point deadline);
  Client* client() { return client_; }

 private:
  void Step();
  void Think();

  void SendOne();
  void SendSeveral();
  // Sends, and the same again while the first is under way.
  void SendDoubled();
  // Sends, and does not care what became of it until the round is over: nobody's repetition makes
  // good what a service forgets.
  void SendAndForget();
  void RepeatOld();
  // Another message with a known request id, which must be refused.
  void ReuseRequestId();
  void MarkRead();
  void ReadAndAsk();
  void LeaveOrReturn();
  void AddSomebody();
  void RemoveSomebody();
  void CreateGroup();
  void BlockOrUnblock();
  void ChangeSettings();
  void Reconnect();

  // Waits for it; impatient devices cut their session instead and ask again.
  void Await(const Sending& sending);
  // Tries again what the session left open.
  void SettleOpen();
  void ConnectAgain(client::Snapshot snapshot);

  // Repeats a change now and then.
  void ChangeMembers(EntryKind kind, int64_t group,
                     const std::function<absl::StatusOr<Place>(const std::string&)>& call,
                     bool* done = nullptr);
  // Whether somebody or a conversation is quiet by now: most become so at some time of the round,
  // so that what goes wrong then is not made good by something later.
  bool IsQuiet(int64_t id, double from, double to) const;
  // 0: all are quiet.
  int64_t AnyConversation();
  int64_t AnyGroup();
  int64_t AnyOther() { return person_->others[Below(person_->others.size())]; }
  std::string Text();
  size_t Below(size_t bound) { return random_() % bound; }
  Clock::time_point Deadline() const;

  Client* const client_;
  Person* const person_;
  const std::map<int64_t, Person*> everybody_;
  const bool first_;
  std::mt19937_64 random_;

  uint64_t round_ = 0;
  Clock::time_point begun_;
  Clock::time_point until_;
  Clock::time_point give_up_;
  size_t door_;
  int64_t texts_ = 0;
  // Acknowledged, to be repeated.
  std::deque<chat::v1::SendMessageRequest> done_;
  // Unknown, in the order sent.
  std::deque<chat::v1::SendMessageRequest> open_;
  std::deque<chat::v1::SendMessageRequest> forgotten_;
  client::Snapshot old_;
  std::set<int64_t> blocked_;
};

}  // namespace im::faults
