// im-faults: people write to each other while everything goes wrong; then it is checked that
// nothing was lost (docs/testing.md).
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "tests/faults/checker.h"
#include "tests/faults/guard.h"
#include "tests/faults/history.h"
#include "tests/faults/nemesis.h"
#include "tests/faults/set_up.h"
#include "tests/faults/stored.h"
#include "tests/faults/workload.h"
#include "tools/check/check.h"

namespace im::faults {
namespace {

using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A time of faults and load; after each everything comes to rest, which shows at once what is
// missing, before something later makes it good.
constexpr seconds kRound(60);
constexpr seconds kProgress(10);
// A gateway's second catch-up comes a minute after the first.
constexpr seconds kRestPatience(90);
// "At once", on a machine with much else to do.
constexpr seconds kAtOnce(15);
constexpr size_t kShown = 20;

struct Options {
  double minutes = 2.8;
  uint64_t seed = 0;
  std::vector<std::string> faults;
  std::string folder;
};

// Prints lines with the time since the start. Thread-safe.
class Log {
 public:
  void Line(const std::string& text) {
    const double passed = duration<double>(Clock::now() - start_).count();
    MutexLock lock(&mu_);
    std::cout << absl::StrFormat("%7.1f  ", passed) << text << std::endl;
  }

 private:
  const Clock::time_point start_ = Clock::now();
  Mutex mu_;
};

std::string WithCommas(int64_t number) {
  std::string digits = absl::StrCat(number);
  for (int64_t at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return digits;
}

std::string Progress(const Recorder::Counts& counts) {
  return absl::StrCat(WithCommas(counts.acknowledged), " acknowledged, ",
                      WithCommas(counts.refused), " refused, ", WithCommas(counts.seen), " seen, ",
                      WithCommas(counts.disconnected), " streams lost");
}

class Faults {
 public:
  explicit Faults(Options options) : options_(std::move(options)) {}

  // The whole run; returns the exit status.
  int Run();

 private:
  void Round(Workload* workload, SetUp* set_up, int number, Clock::time_point until);
  void Settle(const std::string& what, const std::vector<Client*>& clients,
              const std::string& database_url, milliseconds patience, bool marks);
  void CheckAll(const std::string& database_url);
  void Keep(const History& history, const std::vector<Violation>& violations, SetUp* set_up);

  const Options options_;
  Log log_;
  Recorder recorder_;
  std::atomic<int> faults_{0};
  std::vector<Violation> violations_;
};

void Faults::Round(Workload* workload, SetUp* set_up, int number, Clock::time_point until) {
  NemesisOptions options;
  options.seed = options_.seed * 1'000 + static_cast<uint64_t>(number);
  options.faults = options_.faults;
  options.note = [this](const FaultNote& note) {
    // What it turned out to be is noted once more.
    if (note.kind == FaultNote::Kind::kBegun && note.detail.empty()) ++faults_;
    log_.Line(ToText(note));
    recorder_.Note(ToText(note));
  };
  Nemesis nemesis(set_up, options);
  nemesis.Start();
  std::thread work([=] { workload->Run(until); });
  for (auto next = Clock::now() + kProgress; Clock::now() < until; next += kProgress) {
    std::this_thread::sleep_until(std::min(next, until));
    log_.Line(Progress(recorder_.counts()));
  }
  if (!nemesis.Stop()) {
    violations_.push_back({"not_healed", absl::StrCat("round ", number, ": see the notes")});
  }
  work.join();
}

void Faults::Settle(const std::string& what, const std::vector<Client*>& clients,
                    const std::string& database_url, milliseconds patience, bool marks) {
  const auto start = Clock::now();
  const Rest rest = ComeToRest(&recorder_, clients, database_url, patience, marks);
  const double passed = duration<double>(Clock::now() - start).count();
  log_.Line(rest.lags.empty() ? absl::StrFormat("%s at rest after %.1f s", what, passed)
                              : absl::StrFormat("%s NOT at rest after %.1f s: %d things missing",
                                                what, passed, rest.lags.size()));
  recorder_.Add(rest);
}

void Faults::Keep(const History& history, const std::vector<Violation>& violations, SetUp* set_up) {
  WriteHistory(history, options_.folder);
  std::ofstream list(options_.folder + "/violations.txt");
  for (const Violation& violation : violations) {
    list << violation.rule << ": " << violation.what << "\n";
  }
  for (const std::string& name : set_up->stack().names()) {
    std::ofstream(options_.folder + "/" + name + ".log") << set_up->stack().Log(name);
  }
}

// What im-check says of the whole database.
void Faults::CheckAll(const std::string& database_url) {
  const auto add = [this](const std::string& what) { violations_.push_back({"im_check", what}); };
  check::CheckOptions options;
  options.database_url = database_url;
  options.on_finding = [&](const check::Finding& finding) {
    std::string what = finding.rule + ":";
    for (const auto& [name, value] : finding.where) absl::StrAppend(&what, " ", name, "=", value);
    add(what + ": " + finding.what);
  };
  options.on_progress = [](const check::Totals&) {};
  const auto totals = check::Check(options);
  if (!totals.ok()) add(totals.status().ToString());
}

int Faults::Run() {
  log_.Line(absl::StrCat("seed ", options_.seed, ", ", options_.minutes, " minutes"));
  NemesisOptions plan;
  plan.seed = options_.seed;
  plan.faults = options_.faults;
  SetUpOptions options = NeededBy(plan);
  options.seed = options_.seed;
  auto set_up = std::make_unique<SetUp>(options);
  auto workload = std::make_unique<Workload>(&recorder_, set_up->doors(), options_.seed);
  const std::string database_url = set_up->database().url();
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration_cast<Clock::duration>(
                               duration<double, std::ratio<60>>(options_.minutes));
  for (int round = 1; Clock::now() < end; ++round) {
    Round(workload.get(), set_up.get(), round,
          std::min<Clock::time_point>(end, Clock::now() + kRound));
    Settle(absl::StrCat("round ", round, ": devices"), workload->clients(), database_url,
           kRestPatience, false);
  }
  workload->SettleForgotten();
  Settle("marks", workload->clients(), database_url, kRestPatience, true);
  Settle("devices that reconnected", workload->Reconnect(), database_url, kAtOnce, true);
  Settle("fresh devices", workload->ConnectFresh(), database_url, kAtOnce, true);
  workload->ReadHistories();
  const Recorder::Counts counts = recorder_.counts();
  workload.reset();

  const History history = recorder_.Take();
  for (Violation& violation : Check(history, ReadStored(database_url))) {
    violations_.push_back(std::move(violation));
  }
  CheckAll(set_up->database().UrlOf("owner"));
  for (std::string& what : set_up->stack().FindSecretsInLogs()) {
    violations_.push_back({"log_secret", std::move(what)});
  }
  for (size_t i = 0; i < std::min(violations_.size(), kShown); ++i) {
    log_.Line(violations_[i].rule + ": " + violations_[i].what);
  }
  const bool passed = violations_.empty();
  if (!passed) Keep(history, violations_, set_up.get());
  set_up.reset();

  std::string verdict = absl::StrFormat(
      "faults: %s seed %u, %.1f minutes, %d faults, %s acknowledged, %s seen, %s violations",
      passed ? "PASSED" : "FAILED", options_.seed,
      duration<double, std::ratio<60>>(Clock::now() - start).count(), faults_.load(),
      WithCommas(counts.acknowledged), WithCommas(counts.seen),
      WithCommas(static_cast<int64_t>(violations_.size())));
  for (const auto& [rule, count] : CountByRule(violations_)) {
    absl::StrAppend(&verdict, ", ", rule, " ", count);
  }
  if (!passed) absl::StrAppend(&verdict, "; history in ", options_.folder);
  std::cout << verdict << std::endl;
  return passed ? 0 : 1;
}

}  // namespace
}  // namespace im::faults

int main(int argc, char** argv) {
  im::faults::Options options;
  CLI::App app(
      "People write to each other while services, database and network fail; then what they were "
      "told is compared with what is stored. The last line is the verdict.",
      "im-faults");
  app.add_option("--minutes", options.minutes, "How long faults go on")->capture_default_str();
  app.add_option("--seed", options.seed, "What happens, as far as processes allow; else random");
  app.add_option("--faults", options.faults, "Only these, by name")->delimiter(',');
  bool list = false;
  app.add_flag("--list", list, "Print the names of the faults and what they are");
  app.add_option("--folder", options.folder, "Where to keep the history of a failed run");
  CLI11_PARSE(app, argc, argv);
  if (list) {
    for (const im::faults::FaultDescription& fault : im::faults::ListFaults()) {
      std::cout << absl::StrFormat("%-18s %s\n", fault.name, fault.what);
    }
    return 0;
  }
  if (options.seed == 0) options.seed = 1 + im::RandomBelow(1'000'000);
  if (options.folder.empty()) {
    options.folder = absl::StrCat(IM_BINARY_DIR "/faults-", options.seed);
  }
  const auto failed = [&](const std::string& why) {
    std::cout << "faults: FAILED seed " << options.seed << ": " << why << std::endl;
  };
  const auto run = [&] {
    try {
      return im::faults::Faults(options).Run();
    } catch (const std::exception& error) {
      failed(error.what());
      return 1;
    }
  };
  return im::faults::RunGuarded(run, failed);
}
