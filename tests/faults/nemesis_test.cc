// The nemesis hurts, heals, and says what it did.
#include "tests/faults/nemesis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <iostream>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>

#include "tests/e2e/person.h"

namespace im::faults {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = FaultNote::Kind;

class Notes {
 public:
  std::function<void(const FaultNote&)> Taker() {
    return [this](const FaultNote& note) {
      std::cout << ToText(note) << std::endl;
      std::lock_guard<std::mutex> lock(mu_);
      notes_.push_back(note);
      changed_.notify_all();
    };
  }
  // Until so many were said.
  bool WaitFor(Kind kind, int count, seconds limit = seconds(120)) {
    std::unique_lock<std::mutex> lock(mu_);
    return changed_.wait_for(lock, limit, [&] {
      return std::count_if(notes_.begin(), notes_.end(),
                           [&](const FaultNote& note) { return note.kind == kind; }) >= count;
    });
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::vector<FaultNote> notes_;
};

TEST(NemesisTest, NamesAreUniqueAndExplained) {
  std::set<std::string> names;
  for (const FaultDescription& fault : ListFaults()) {
    EXPECT_TRUE(names.insert(fault.name).second) << fault.name;
    EXPECT_THAT(fault.what, Not(IsEmpty())) << fault.name;
  }
  EXPECT_GT(names.size(), 20u);
}

TEST(NemesisTest, AFaultThatDoesNotExistIsRefused) {
  EXPECT_THROW(NeededBy({.faults = {"kill-chat", "rain"}}), std::invalid_argument);
}

// Ann writes to Bob all the time.
class FaultTest : public ::testing::TestWithParam<const char*> {};

TEST_P(FaultTest, EverythingArrivesAfterwards) {
  Notes notes;
  NemesisOptions options{
      .seed = 5, .faults = {GetParam()}, .pause = milliseconds(500), .note = notes.Taker()};
  faults::SetUp set_up(NeededBy(options));
  testing::Person ann(set_up.doors()[0], "ann"), bob(set_up.doors()[1], "bob");
  ann.Befriends(bob);
  const int64_t chat = ann.OpensDirect(bob);
  auto anns = ann.Connects(), bobs = bob.Connects();
  anns->WaitLive();
  bobs->WaitLive();
  Nemesis nemesis(&set_up, options);
  nemesis.Start();
  ASSERT_TRUE(notes.WaitFor(Kind::kBegun, 1));
  auto longest = milliseconds(0);
  size_t sent = 0;
  const auto send = [&] {
    const auto begin = steady_clock::now();
    const absl::Status status = anns->Sends(chat, std::to_string(sent), seconds(90)).status();
    ASSERT_TRUE(status.ok()) << status;
    ++sent;
    longest =
        std::max(longest, std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin));
  };
  while (!notes.WaitFor(Kind::kHealthy, 1, seconds(0)) &&
         !notes.WaitFor(Kind::kFailed, 1, seconds(0))) {
    send();
    if (HasFatalFailure()) return;
  }
  EXPECT_TRUE(nemesis.Stop());
  send();
  std::cout << sent << " sent, the slowest took " << longest.count() << " ms" << std::endl;
  // A device that was away for too long is told of a gap, whose entries are there to be loaded.
  std::vector<int64_t> told, all(sent);
  std::iota(all.begin(), all.end(), 1);
  EXPECT_TRUE(bobs->WaitFor([&](const testing::Device& device) {
    told.clear();
    for (const chat::v1::Entry& entry : device.entries) told.push_back(entry.seq());
    EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
    for (const chat::v1::Gap& gap : device.gaps) {
      for (int64_t seq = gap.from_seq(); seq <= gap.to_seq(); ++seq) told.push_back(seq);
    }
    return told.size() >= sent;
  })) << told.size()
      << " of " << sent;
  std::sort(told.begin(), told.end());
  EXPECT_EQ(told, all);
  std::vector<std::string> texts(sent);
  for (size_t i = 0; i < sent; ++i) texts[i] = std::to_string(i);
  EXPECT_EQ(bob.ReadsHistory(chat), texts);
}

INSTANTIATE_TEST_SUITE_P(Some, FaultTest,
                         ::testing::Values("kill-chat", "abort-postgres", "terminate-backend",
                                           "half-open", "restart-several"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace im::faults
