#include "bench/growth.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/population.h"
#include "bench/rate.h"
#include "bench/seed.h"
#include "bench/traffic.h"
#include "common/base/error.h"

namespace im::bench {
namespace {

constexpr int64_t kFirstMessages = 10'000;
constexpr int64_t kFirstUsers = 1'000;
constexpr int kUsersPerConversation = 2;
constexpr int64_t kMessagesPerConversation = 10;
// Of each hundred of the mix so many are played in.
constexpr size_t kOfEachSize = 2;
// In groups: how many deliveries a second are due, if that is less than the rate brings.
constexpr double kDeliveries = 10'000;
constexpr int kGroupPeople = 200;

// One axis, as it grows.
class Axis {
 public:
  Axis(std::string name, const char* cost) : name_(std::move(name)), cost_name_(cost) {}

  void Add(int64_t size, const Contents& contents, const Outcome& outcome, const RateCost& cost,
           double of) {
    JsonObject shares;
    for (const auto& [process, share] : outcome.processes) {
      const double each = outcome.latency.count() == 0
                              ? 0
                              : static_cast<double>(share.cpu.count()) /
                                    static_cast<double>(outcome.latency.count());
      shares.Add(process, each);
    }
    JsonObject step;
    step.Add("entries", contents.entries)
        .Add("accounts", contents.accounts)
        .Add("per_second", outcome.per_second)
        .Add("deliveries_per_second", cost.deliveries_per_second)
        .Add("latency_ms", LatencyJson(outcome.latency))
        .Add("cpu_us_per_message", cost.cpu_us_per_message)
        .Add("cpu_us_per_delivery", cost.cpu_us_per_delivery)
        .Add("cpu_us_per_message_of", shares);
    steps_.Add(absl::StrCat(size), step);
    text_ += absl::StrFormat("%s %d (%d entries, %d accounts there): %.0f us of CPU %s; ms: %s\n",
                             name_, size, contents.entries, contents.accounts, of, cost_name_,
                             LatencyText(outcome.latency));
    if (of > 0) costs_.push_back(of);
  }

  const std::string& name() const { return name_; }
  const JsonObject& steps() const { return steps_; }
  const std::string& text() const { return text_; }
  // The dearest step, by the cheapest.
  double factor() const {
    if (costs_.empty()) return 0;
    const auto [least, most] = std::minmax_element(costs_.begin(), costs_.end());
    return *most / *least;
  }

 private:
  const std::string name_;
  const char* const cost_name_;
  JsonObject steps_;
  std::string text_;
  std::vector<double> costs_;
};

class Growth {
 public:
  Growth(const Target& target, const GrowthOptions& options, Outcome* outcome)
      : target_(target),
        options_(options),
        outcome_(outcome),
        population_(target.database_url, &progress_) {}

  absl::Status Run() {
    if (target_.database_url.empty()) {
      return absl::FailedPreconditionError("old data is written into the database: --database");
    }
    absl::Status status = GrowMessages();
    if (status.ok()) status = GrowUsers();
    if (status.ok()) status = GrowMembers();
    JsonObject steps, factors;
    for (const Axis* axis : {&messages_, &users_, &members_}) {
      steps.Add(axis->name(), axis->steps());
      factors.Add(axis->name(), axis->factor());
      outcome_->more_text +=
          absl::StrFormat("%s%s: the dearest step costs %.2f times the cheapest\n", axis->text(),
                          axis->name(), axis->factor());
    }
    outcome_->more.Add("rate", options_.rate).Add("steps", steps).Add("factors", factors);
    return status;
  }

 private:
  absl::Status GrowMessages() {
    IM_RETURN_IF_ERROR(population_.Add(kFirstUsers, kFirstUsers / kUsersPerConversation));
    for (int64_t size = kFirstMessages; size <= options_.max_messages; size *= 10) {
      IM_RETURN_IF_ERROR(population_.AddMessages(size - population_.messages()));
      IM_RETURN_IF_ERROR(Step(size, &messages_));
    }
    return absl::OkStatus();
  }

  absl::Status GrowUsers() {
    for (int64_t size = kFirstUsers; size <= options_.max_users; size *= 10) {
      const int64_t more = size - population_.users();
      const size_t first = population_.conversations().size();
      const int64_t conversations = more / kUsersPerConversation;
      IM_RETURN_IF_ERROR(population_.Add(more, conversations));
      IM_RETURN_IF_ERROR(population_.AddMessages(conversations * kMessagesPerConversation, first));
      IM_RETURN_IF_ERROR(Step(size, &users_));
    }
    return absl::OkStatus();
  }

  absl::Status GrowMembers() {
    for (int64_t size = 2; size <= options_.max_members; size = size == 2 ? 10 : size * 10) {
      const auto members = static_cast<int>(size);
      RateOptions rate{.rate = std::min(options_.rate, kDeliveries / static_cast<double>(size)),
                       .conversations = std::max(1, kGroupPeople / members),
                       .clients = std::max(kGroupPeople, members),
                       .members = members,
                       .seconds = options_.seconds};
      IM_RETURN_IF_ERROR(population_.Settle());
      IM_ASSIGN_OR_RETURN(const Contents contents, CountContents(target_.database_url));
      Outcome outcome;
      RateCost cost;
      IM_RETURN_IF_ERROR(RunRate(target_, rate, &outcome, &cost));
      Take(size, contents, outcome, cost, &members_);
    }
    return absl::OkStatus();
  }

  // Plays in some of the conversations that are there.
  absl::Status Step(int64_t size, Axis* axis) {
    IM_RETURN_IF_ERROR(population_.Settle());
    IM_ASSIGN_OR_RETURN(const Contents contents, CountContents(target_.database_url));
    std::vector<size_t> chosen = Choose();
    std::vector<int64_t> ids, user_ids;
    std::unordered_map<int64_t, size_t> places;
    for (const size_t i : chosen) {
      const auto& conversation = population_.conversations()[i];
      ids.push_back(conversation.id);
      for (const int64_t user : conversation.user_ids) {
        if (places.emplace(user, user_ids.size()).second) user_ids.push_back(user);
      }
    }
    IM_ASSIGN_OR_RETURN(auto accounts, SeedDevices(target_.database_url, user_ids));
    IM_ASSIGN_OR_RETURN(const auto crowd, Crowd::Of(target_, std::move(accounts), &progress_));
    IM_ASSIGN_OR_RETURN(const auto last_seqs, LastSeqs(target_.database_url, ids));
    Traffic traffic(crowd.get(), &progress_);
    for (size_t i = 0; i < chosen.size(); ++i) {
      std::vector<size_t> members;
      for (const int64_t user : population_.conversations()[chosen[i]].user_ids) {
        members.push_back(places.at(user));
      }
      traffic.Adopt(ids[i], last_seqs[i], members);
    }
    IM_RETURN_IF_ERROR(traffic.Connect());
    Outcome outcome;
    RateCost cost;
    IM_RETURN_IF_ERROR(SendAtRate(target_, options_.rate, options_.seconds, &traffic, crowd.get(),
                                  &progress_, &outcome, &cost));
    Take(size, contents, outcome, cost, axis);
    return absl::OkStatus();
  }

  // Places in the population: of each place of the mix the same number, from all over it.
  std::vector<size_t> Choose() {
    std::vector<size_t> chosen;
    const size_t rounds = population_.conversations().size() / kMix;
    for (size_t i = 0; i < kMix; ++i) {
      for (size_t j = 0; j < std::min(kOfEachSize, rounds); ++j) {
        // Each out of a stretch of its own, so that none comes twice.
        const size_t from = rounds * j / kOfEachSize, to = rounds * (j + 1) / kOfEachSize;
        chosen.push_back((from + random_() % std::max<size_t>(1, to - from)) * kMix + i);
      }
    }
    return chosen;
  }

  void Take(int64_t size, const Contents& contents, const Outcome& step, const RateCost& cost,
            Axis* axis) {
    axis->Add(size, contents, step, cost,
              axis == &members_ ? cost.cpu_us_per_delivery : cost.cpu_us_per_message);
    // Of the last step, as the processes; what was sent and what is wrong of all.
    outcome_->per_second = step.per_second;
    outcome_->seconds = step.seconds;
    outcome_->messages += step.messages;
    outcome_->latency = step.latency;
    outcome_->lost += step.lost;
    outcome_->duplicated += step.duplicated;
    outcome_->reordered += step.reordered;
    outcome_->corrupted += step.corrupted;
    outcome_->processes = step.processes;
  }

  const Target& target_;
  const GrowthOptions& options_;
  Outcome* const outcome_;
  Progress progress_;
  Population population_;
  std::mt19937_64 random_{1};
  Axis messages_{"messages", "a message"};
  Axis users_{"users", "a message"};
  Axis members_{"members", "a delivery"};
};

}  // namespace

Outcome MeasureGrowth(const Target& target, const GrowthOptions& options) {
  Outcome outcome{.scenario = "growth"};
  outcome.failure = Growth(target, options, &outcome).Run();
  return outcome;
}

}  // namespace im::bench
