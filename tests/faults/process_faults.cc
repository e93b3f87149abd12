// Services that are killed, stand still, leave and come back.
#include <algorithm>
#include <memory>
#include <stdexcept>
#include <thread>

#include "tests/faults/fault.h"

namespace im::faults {
namespace {

using std::chrono::milliseconds;

constexpr const char* kServices[] = {"auth", "chat", "presence", "gateway"};

std::vector<std::string> InstancesOf(SetUp& set_up, const std::string& service) {
  std::vector<std::string> instances;
  for (const std::string& name : set_up.stack().names()) {
    if (name.substr(0, name.find('-')) == service) instances.push_back(name);
  }
  return instances;
}

using Chosen = std::shared_ptr<std::vector<std::string>>;
Chosen NothingYet() { return std::make_shared<std::vector<std::string>>(); }

void Launch(SetUp& set_up, const Chosen& chosen) {
  for (const std::string& name : *chosen) {
    if (!set_up.stack().IsRunning(name)) set_up.stack().Launch(name);
  }
  chosen->clear();
}

// As an operator ends it. With status 1 it says that it gave up what was under way, which may be
// for a database that stands still.
int End(SetUp& set_up, const std::string& name) {
  const int status = set_up.stack().Terminate(name);
  if (status > 1) throw std::runtime_error(name + " ended with " + std::to_string(status));
  return status;
}

Fault Kill(const std::string& service) {
  const Chosen chosen = NothingYet();
  return {.name = "kill-" + service,
          .what = "SIGKILL to an im-" + service,
          .touches = {service},
          .most = milliseconds(8'000),
          .begin =
              [service, chosen](SetUp& set_up, Random* random) {
                *chosen = {random->OneOf(InstancesOf(set_up, service))};
                set_up.stack().Kill(chosen->front());
                return chosen->front();
              },
          .heal = [chosen](SetUp& set_up) { Launch(set_up, chosen); }};
}

Fault Terminate(const std::string& service, const std::string& name) {
  const Chosen chosen = NothingYet();
  return {.name = name,
          .what = "SIGTERM to an im-" + service + ", under load",
          .touches = {service},
          .most = milliseconds(5'000),
          .begin =
              [service, chosen](SetUp& set_up, Random* random) {
                *chosen = {random->OneOf(InstancesOf(set_up, service))};
                const int status = End(set_up, chosen->front());
                return chosen->front() + ", status " + std::to_string(status);
              },
          .heal = [chosen](SetUp& set_up) { Launch(set_up, chosen); }};
}

Fault Stop(const std::string& service, bool long_enough_to_be_noticed) {
  const Chosen chosen = NothingYet();
  return {.name = (long_enough_to_be_noticed ? "freeze-" : "stop-") + service,
          .what = "SIGSTOP to an im-" + service +
                  (long_enough_to_be_noticed ? ", longer than heartbeats allow"
                                             : ", shorter than heartbeats allow"),
          .touches = {service},
          // Links give up after 5 s, clients after 9, presence after 20.
          .least = milliseconds(long_enough_to_be_noticed ? 10'000 : 500),
          .most = milliseconds(long_enough_to_be_noticed ? 25'000 : 4'000),
          .begin =
              [service, chosen](SetUp& set_up, Random* random) {
                *chosen = {random->OneOf(InstancesOf(set_up, service))};
                set_up.stack().Pause(chosen->front());
                return chosen->front();
              },
          .heal =
              [chosen](SetUp& set_up) {
                for (const std::string& name : *chosen) set_up.stack().Resume(name);
                chosen->clear();
              }};
}

// While its commits are under way: they land when it is not there to tell anybody.
Fault EndWhileCommitting(const std::string& name, const std::string& what, bool for_good) {
  const Chosen chosen = NothingYet();
  return {.name = name,
          .what = what,
          .touches = {"chat", "postgres"},
          .least = milliseconds(for_good ? 0 : 10'000),
          .most = milliseconds(for_good ? 8'000 : 20'000),
          .begin =
              [for_good, chosen](SetUp& set_up, Random* random) {
                set_up.cluster().Pause();
                // Until every writer waits for the database.
                std::this_thread::sleep_for(random->Between(milliseconds(200), milliseconds(800)));
                *chosen = {random->OneOf(InstancesOf(set_up, "chat"))};
                if (for_good) {
                  set_up.stack().Kill(chosen->front());
                } else {
                  set_up.stack().Pause(chosen->front());
                }
                set_up.cluster().Resume();
                return chosen->front();
              },
          .heal =
              [for_good, chosen](SetUp& set_up) {
                set_up.cluster().Resume();
                if (for_good) return Launch(set_up, chosen);
                for (const std::string& stopped : *chosen) set_up.stack().Resume(stopped);
                chosen->clear();
              }};
}

// Every service at once, or some; started in any order, each after a moment.
Fault RestartSeveral() {
  const Chosen chosen = NothingYet();
  const auto delays = std::make_shared<std::vector<milliseconds>>();
  return {.name = "restart-several",
          .what = "SIGKILL to several services at once, started in any order with delays",
          .touches = {"auth", "chat", "presence", "gateway"},
          .most = milliseconds(3'000),
          .begin =
              [chosen, delays](SetUp& set_up, Random* random) {
                *chosen = set_up.stack().names();
                random->Shuffle(chosen.get());
                chosen->resize(
                    static_cast<size_t>(random->Between(2, static_cast<int64_t>(chosen->size()))));
                std::string detail;
                delays->clear();
                for (const std::string& name : *chosen) {
                  set_up.stack().Kill(name);
                  delays->push_back(random->Between(milliseconds(0), milliseconds(2'500)));
                  detail += (detail.empty() ? "" : " ") + name;
                }
                random->Shuffle(chosen.get());
                return detail;
              },
          .heal =
              [chosen, delays](SetUp& set_up) {
                for (size_t i = 0; i < chosen->size(); ++i) {
                  // The fault itself: a slow start, not a wait for something.
                  std::this_thread::sleep_for((*delays)[i]);
                  if (!set_up.stack().IsRunning((*chosen)[i])) set_up.stack().Launch((*chosen)[i]);
                }
                chosen->clear();
              }};
}

// What an operator does to let the others know: one after the other, the next when the one before
// is healthy.
void RestartOneByOne(SetUp& set_up, const std::vector<std::string>& services) {
  for (const std::string& service : services) {
    for (const std::string& name : InstancesOf(set_up, service)) {
      if (set_up.stack().IsRunning(name)) End(set_up, name);
      set_up.stack().Start(name);
    }
  }
}

// It runs only while every gateway lists it: what it stores for one that does not know it is
// published to nobody there (docs/operations.md).
Fault Add(const std::string& service, const std::vector<std::string>& those_who_must_know) {
  const Chosen chosen = NothingYet();
  return {.name = "add-" + service,
          .what = "one more im-" + service +
                  ", then one less; the others are told by a restart, "
                  "one after the other",
          // Their restarts wait for health.
          .touches = {"auth", "chat", "presence", "gateway", "postgres"},
          .least = milliseconds(3'000),
          .most = milliseconds(10'000),
          .begin =
              [service, chosen, those_who_must_know](SetUp& set_up, Random*) {
                *chosen = {set_up.stack().Add(service)};
                RestartOneByOne(set_up, those_who_must_know);
                set_up.stack().Start(chosen->front());
                return chosen->front();
              },
          .heal =
              [chosen, those_who_must_know](SetUp& set_up) {
                if (chosen->empty()) return;
                const std::string name = chosen->front();
                chosen->clear();
                if (set_up.stack().IsRunning(name)) End(set_up, name);
                set_up.stack().Remove(name);
                RestartOneByOne(set_up, those_who_must_know);
              }};
}

}  // namespace

std::vector<Fault> ProcessFaults() {
  std::vector<Fault> faults;
  for (const char* service : kServices) {
    faults.push_back(Kill(service));
    faults.push_back(Stop(service, false));
    faults.push_back(Stop(service, true));
    const bool gateway = std::string(service) == "gateway";
    faults.push_back(Terminate(service, (gateway ? "drain-" : "restart-") + std::string(service)));
  }
  faults.push_back(EndWhileCommitting(
      "kill-committing", "SIGKILL to an im-chat whose commits are under way and land later", true));
  faults.push_back(EndWhileCommitting(
      "freeze-committing",
      "SIGSTOP to an im-chat whose commits are under way, longer than heartbeats allow", false));
  faults.push_back(RestartSeveral());
  return faults;
}

std::vector<Fault> InstanceFaults() {
  return {Add("chat", {"gateway", "presence"}), Add("presence", {"gateway"})};
}

}  // namespace im::faults
