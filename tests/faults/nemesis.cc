#include "tests/faults/nemesis.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "common/base/mutex.h"
#include "tests/faults/fault.h"

namespace im::faults {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::PrivateCluster;
using Kind = FaultNote::Kind;

// How often is looked after what has ended and what is healthy.
constexpr milliseconds kLook{100};
// Room for the database and its log, and to spare.
constexpr int kDiskMb = 768;

std::vector<Fault> AllFaults() {
  std::vector<Fault> all;
  for (auto* list :
       {&ProcessFaults, &InstanceFaults, &ClockFaults, &PostgresFaults, &NetworkFaults}) {
    for (Fault& fault : list()) all.push_back(std::move(fault));
  }
  return all;
}

std::vector<Fault> Choose(const std::vector<std::string>& names) {
  std::vector<Fault> all = AllFaults();
  if (names.empty()) return all;
  std::vector<Fault> chosen;
  for (const std::string& name : names) {
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const Fault& fault) { return fault.name == name; });
    if (found == all.end()) throw std::invalid_argument("no such fault: " + name);
    chosen.push_back(*found);
  }
  return chosen;
}

std::string Seconds(steady_clock::duration duration) {
  const auto tenths = std::chrono::duration_cast<milliseconds>(duration).count() / 100;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kBegun:
      return "begun";
    case Kind::kHealed:
      return "healed";
    case Kind::kHealthy:
      return "healthy";
    case Kind::kSkipped:
      return "skipped";
    case Kind::kFailed:
      return "FAILED";
  }
  return "";
}

}  // namespace

std::string ToText(const FaultNote& note) {
  std::string text = note.fault + " " + KindName(note.kind);
  if (!note.detail.empty()) text += ": " + note.detail;
  return text;
}

std::vector<FaultDescription> ListFaults() {
  std::vector<FaultDescription> list;
  for (const Fault& fault : AllFaults()) list.push_back({fault.name, fault.what});
  return list;
}

SetUpOptions NeededBy(const NemesisOptions& options) {
  SetUpOptions needed;
  needed.seed = options.seed;
  for (const Fault& fault : Choose(options.faults)) {
    if (fault.name.rfind("full-", 0) == 0 && PrivateCluster::CanHaveDisk()) {
      needed.disk_mb = kDiskMb;
    }
    if (fault.name == "cut-off") needed.island = Island::CanBe();
  }
  return needed;
}

class Nemesis::Thread {
 public:
  Thread(SetUp* set_up, NemesisOptions options)
      : set_up_(set_up), options_(std::move(options)), random_(options_.seed) {
    faults_ = Choose(options_.faults);
  }
  ~Thread() { Stop(); }

  void Start() {
    thread_ = std::thread([this] { Run(); });
  }

  bool Stop() {
    {
      MutexLock lock(&mu_);
      stopping_ = true;
      changed_.NotifyAll();
    }
    if (thread_.joinable()) thread_.join();
    MutexLock lock(&mu_);
    return !failed_;
  }

 private:
  struct Active {
    Fault* fault;
    steady_clock::time_point heal_at;
  };

  void Run() {
    LeaveOutWhatCannotBe();
    if (faults_.empty()) Note(Kind::kFailed, "nemesis", "nothing of this can be done here");
    while (!faults_.empty() && Wait(options_.pause, {})) {
      std::vector<Active> round;
      Begin(&round);
      if (options_.pairs && random_.Between(0, 1) == 1 &&
          Wait(random_.Between(milliseconds(0), milliseconds(2'000)), round)) {
        Begin(&round);
      }
      std::sort(round.begin(), round.end(),
                [](const Active& a, const Active& b) { return a.heal_at < b.heal_at; });
      while (!round.empty()) {
        WaitUntil(round.front().heal_at, round);
        Heal(*round.front().fault);
        round.erase(round.begin());
      }
      if (!WaitHealthy()) return;
    }
  }

  void LeaveOutWhatCannotBe() {
    for (auto fault = faults_.begin(); fault != faults_.end();) {
      const std::string why = fault->obstacle ? fault->obstacle(*set_up_) : "";
      if (!why.empty()) Note(Kind::kSkipped, fault->name, why);
      fault = why.empty() ? fault + 1 : faults_.erase(fault);
    }
  }

  // One more, if there is one that goes with those of the round.
  void Begin(std::vector<Active>* round) {
    std::vector<Fault*> possible;
    for (Fault& fault : faults_) {
      const bool clashes = std::any_of(round->begin(), round->end(), [&](const Active& active) {
        return std::any_of(
            fault.touches.begin(), fault.touches.end(),
            [&](const std::string& what) { return active.fault->touches.count(what) > 0; });
      });
      if (!clashes) possible.push_back(&fault);
    }
    if (possible.empty()) return;
    Fault* fault = random_.OneOf(possible);
    last_ = fault->name;
    const milliseconds lasts = random_.Between(fault->least, fault->most);
    Note(Kind::kBegun, fault->name, {});
    try {
      const std::string detail = fault->begin(*set_up_, &random_);
      if (!detail.empty()) Note(Kind::kBegun, fault->name, detail);
    } catch (const std::exception& e) {
      Note(Kind::kFailed, fault->name, std::string("begin: ") + e.what());
    }
    round->push_back({fault, steady_clock::now() + lasts});
  }

  void Heal(Fault& fault) {
    const auto begin = steady_clock::now();
    try {
      fault.heal(*set_up_);
      Note(Kind::kHealed, fault.name, "took " + Seconds(steady_clock::now() - begin));
    } catch (const std::exception& e) {
      Note(Kind::kFailed, fault.name, std::string("heal: ") + e.what());
    }
  }

  // What ended though nobody ended it is a defect, and is started again. PostgreSQL may end on a
  // full disk; somebody starts it again then, too.
  void Supervise(const std::vector<Active>& round) {
    for (const auto& [name, status] : set_up_->stack().TakeEnded()) {
      Note(Kind::kFailed, last_, name + " ended by itself, status " + std::to_string(status));
      set_up_->stack().Launch(name);
    }
    const bool postgres = std::any_of(round.begin(), round.end(), [](const Active& active) {
      return active.fault->touches.count("postgres") > 0;
    });
    if (postgres || set_up_->cluster().IsRunning()) return;
    try {
      set_up_->cluster().Start();
    } catch (const std::exception& e) {
      Note(Kind::kFailed, last_, std::string("PostgreSQL does not start: ") + e.what());
    }
  }

  bool WaitHealthy() {
    const auto begin = steady_clock::now();
    while (!set_up_->IsHealthy()) {
      Supervise({});
      const auto waited = steady_clock::now() - begin;
      if (waited > options_.recovery) {
        std::string sick;
        for (const std::string& name : set_up_->stack().names()) {
          if (!set_up_->stack().IsHealthy(name)) sick += " " + name;
        }
        Note(Kind::kFailed, last_, "not healthy after " + Seconds(waited) + ":" + sick);
        return false;
      }
      std::this_thread::sleep_for(kLook);
    }
    Note(Kind::kHealthy, last_, "after " + Seconds(steady_clock::now() - begin));
    return true;
  }

  // False: it is time to stop.
  bool Wait(milliseconds time, const std::vector<Active>& round) {
    WaitUntil(steady_clock::now() + time, round);
    MutexLock lock(&mu_);
    return !stopping_;
  }

  // Or until it is time to stop.
  void WaitUntil(steady_clock::time_point until, const std::vector<Active>& round) {
    while (steady_clock::now() < until) {
      {
        MutexLock lock(&mu_);
        if (stopping_) return;
        changed_.WaitUntil(&mu_, std::min(until, steady_clock::now() + kLook));
      }
      Supervise(round);
    }
  }

  void Note(Kind kind, const std::string& fault, const std::string& detail) {
    if (kind == Kind::kFailed) {
      MutexLock lock(&mu_);
      failed_ = true;
    }
    if (options_.note) options_.note({kind, fault, detail, steady_clock::now()});
  }

  SetUp* const set_up_;
  const NemesisOptions options_;

  // The thread's own.
  Random random_;
  std::vector<Fault> faults_;
  std::string last_;

  Mutex mu_;
  CondVar changed_;
  bool stopping_ IM_GUARDED_BY(mu_) = false;
  bool failed_ IM_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

Nemesis::Nemesis(SetUp* set_up, NemesisOptions options)
    : thread_(std::make_unique<Thread>(set_up, std::move(options))) {}
Nemesis::~Nemesis() = default;
void Nemesis::Start() { thread_->Start(); }
bool Nemesis::Stop() { return thread_->Stop(); }

}  // namespace im::faults
