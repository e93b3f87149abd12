// People with devices who write to each other as long as they are told to.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/timers.h"
#include "tests/faults/client.h"
#include "tests/faults/history.h"
#include "tests/faults/worker.h"

namespace im::faults {

// Not thread-safe. Everything that is chosen comes from the seed.
class Workload {
 public:
  // Registers people, makes them known to each other, connects their devices. Throws if something
  // fails. The recorder must outlive it; `doors`: the gateways' addresses.
  Workload(Recorder* recorder, std::vector<std::string> doors, uint64_t seed);
  ~Workload();
  Workload(const Workload&) = delete;
  Workload& operator=(const Workload&) = delete;

  // Works until then, and returns when every device has settled what it left open, or gave up. What
  // was forgotten on purpose stays open until the next round, or SettleForgotten.
  void Run(Clock::time_point until);
  void SettleForgotten();

  // Of the run.
  std::vector<Client*> clients();

  // After everything. All devices anew with what they have; returns them.
  std::vector<Client*> Reconnect();
  // A fresh device of each person, connected with nothing; returns them.
  std::vector<Client*> ConnectFresh();
  // Each person reads all of their conversations.
  void ReadHistories();

 private:
  auth::v1::Tokens LogIn(const Person& person);
  void Register(const std::string& name);
  void BecomeContacts(size_t one, size_t other);
  void MakeGroup(size_t founder, const std::vector<size_t>& others, bool open_history);
  Client* AddClient(const Person& person, const std::string& name, Device::Part part);
  // For the set-up.
  Client* SetUpClient(size_t person);

  Recorder* const recorder_;
  const std::vector<std::string> doors_;
  const uint64_t seed_;
  uint64_t rounds_ = 0;
  client::TimerThread timers_;
  std::shared_ptr<client::Channel> channel_;
  std::vector<std::unique_ptr<Person>> people_;
  std::map<int64_t, Person*> by_id_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

// Waits until each of the clients has everything that the database holds for its person, or the
// patience is over; what is missing then stands in the result. `marks`: the peer's in direct
// conversations, too.
Rest ComeToRest(Recorder* recorder, const std::vector<Client*>& clients,
                const std::string& database_url, std::chrono::milliseconds patience, bool marks);

}  // namespace im::faults
