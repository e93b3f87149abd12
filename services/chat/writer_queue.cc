#include "services/chat/writer_queue.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/error.h"
#include "common/base/metrics.h"

namespace im::chat {
namespace {

using std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// Messages that gathering is expected to bring, so that it is done.
constexpr double kWorthGathering = 1.5;

// Gathering goes in so many parts, and ends with the first that brings nothing: the wave of answers
// to the batch before is over.
constexpr int kGatheringParts = 3;

// What came so long ago weighs in the pace.
double WeightOfOld(steady_clock::duration age) { return std::exp(-Seconds(age).count() / 0.02); }

prometheus::Counter& RefusedCounter(Busy who) {
  static auto& family =
      CounterFamily("im_chat_overloaded_total", "Items refused since somebody had too much to do.");
  static auto& writer = family.Add({{"busy", "writer"}});
  static auto& gateway = family.Add({{"busy", "gateway"}});
  return who == Busy::kWriter ? writer : gateway;
}

}  // namespace

absl::Status Overloaded(Busy who) {
  RefusedCounter(who).Increment();
  return Error(Reason::OVERLOADED, {}, {.retry_after = std::chrono::milliseconds(500)});
}

template <typename Item>
absl::Status WriterQueue::PutInto(std::deque<Item>* queue, Item* item) {
  const auto now = steady_clock::now();
  const auto late = [&](const auto& waiting) {
    return !waiting.empty() && now - waiting.front().waiting.since > limits_.wait;
  };
  {
    MutexLock lock(&mu_);
    if (!closed_ && queue->size() < limits_.items && bytes_ + item->bytes() <= limits_.bytes &&
        !late(sends_) && !late(changes_) && !late(typings_) &&
        round_ * (sends_.size() / most_) <= limits_.wait) {
      item->waiting.since = now;
      bytes_ += item->bytes();
      queue->push_back(std::move(*item));
      if (Size() == awaited_) filled_.NotifyOne();
      return absl::OkStatus();
    }
  }
  return Overloaded(Busy::kWriter);
}

template absl::Status WriterQueue::PutInto(std::deque<SendItem>*, SendItem*);
template absl::Status WriterQueue::PutInto(std::deque<ChangeItem>*, ChangeItem*);
template absl::Status WriterQueue::PutInto(std::deque<TypingItem>*, TypingItem*);

template <typename Item>
std::vector<Item> WriterQueue::TakeFrom(std::deque<Item>* queue, size_t most) {
  std::vector<Item> taken;
  taken.reserve(std::min(queue->size(), most));
  while (!queue->empty() && taken.size() < most) {
    bytes_ -= queue->front().bytes();
    taken.push_back(std::move(queue->front()));
    queue->pop_front();
  }
  return taken;
}

void WriterQueue::Await(size_t count, steady_clock::time_point until) {
  awaited_ = count;
  while (Size() < count && !closed_ && filled_.WaitUntil(&mu_, until)) {
  }
  awaited_ = 0;
}

void WriterQueue::Gather(size_t most) {
  if (sends_.empty()) return;
  const auto now = steady_clock::now();
  const double pace = pace_ * WeightOfOld(now - taken_at_);
  const Seconds gather = std::min<Seconds>(limits_.gather, round_ * limits_.gather_share);
  if (pace * gather.count() < kWorthGathering) return;
  const auto duration = std::chrono::duration_cast<steady_clock::duration>(gather);
  const auto end = now + duration;
  size_t had = 0;
  do {
    had = sends_.size();
    Await(most, std::min(end, steady_clock::now() + duration / kGatheringParts));
  } while (sends_.size() > had && Size() < most && steady_clock::now() < end);
}

WriterQueue::Work WriterQueue::Take(size_t most, bool wait) {
  MutexLock lock(&mu_);
  if (wait) {
    while (Size() == 0 && !closed_) Await(1, steady_clock::time_point::max());
    Gather(most);
  }
  if (!sends_.empty()) {
    const auto now = steady_clock::now();
    // Since the first came, or since the last were taken, for the work on those.
    const auto took = now - std::max(sends_.front().waiting.since, taken_at_);
    round_ += (took - round_) / 4;
    const auto since = std::max(now - taken_at_, steady_clock::duration(1));
    const double old = WeightOfOld(since);
    const auto count = static_cast<double>(std::min(sends_.size(), most));
    pace_ = pace_ * old + count / Seconds(since).count() * (1 - old);
    taken_at_ = now;
    most_ = most;
  }
  return {TakeFrom(&sends_, most), TakeFrom(&changes_, most), TakeFrom(&typings_, most)};
}

void WriterQueue::Close() {
  MutexLock lock(&mu_);
  closed_ = true;
  filled_.NotifyAll();
}

absl::Status WriterQueue::CheckWorth(const Waiting& waiting) const {
  if (waiting.deadline < std::chrono::system_clock::now()) return Error(Reason::DEADLINE_EXCEEDED);
  if (steady_clock::now() - waiting.since > limits_.stale) return Overloaded(Busy::kWriter);
  return absl::OkStatus();
}

}  // namespace im::chat
