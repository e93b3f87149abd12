#include "services/chat/watermarks.h"

#include <algorithm>
#include <unordered_map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"

namespace im::chat {
namespace {

// Marks of one write.
constexpr size_t kMostMarks = 1000;
// Marks that may be gathered while the database is away, about 100 bytes each. Those beyond are
// dropped: devices say them again.
constexpr size_t kMostGathered = 500'000;

// As text without braces: libpqxx has no arrays that its versions 6 and 7 agree on.
constexpr char kMarkRead[] =
    "SELECT read_seq, delivered_seq, unread, log_position, array_to_string(audience, ',') "
    "FROM chat.mark_read($1, $2, $3) WHERE chat.shows($1, $2)";
constexpr char kAcknowledge[] =
    "SELECT conversation_id, user_id, read_seq, delivered_seq, present, "
    "       array_to_string(audience, ',') "
    "FROM chat.acknowledge($1::bigint[], $2::bigint[], $3::bigint[])";

auto& MarksFamily() {
  static auto& family = CounterFamily("im_chat_marks_total", "Marks that rose.");
  return family;
}
prometheus::Counter& ReadCounter() {
  static auto& counter = MarksFamily().Add({{"kind", "read"}});
  return counter;
}
prometheus::Counter& DeliveredCounter() {
  static auto& counter = MarksFamily().Add({{"kind", "delivered"}});
  return counter;
}

std::vector<int64_t> ReadAudience(const pqxx::field& field) {
  std::vector<int64_t> audience;
  if (field.is_null()) return audience;
  for (const absl::string_view part : absl::StrSplit(field.c_str(), ',', absl::SkipEmpty())) {
    int64_t user = 0;
    if (absl::SimpleAtoi(part, &user)) audience.push_back(user);
  }
  return audience;
}

}  // namespace

Watermarks::Watermarks(pg::Pool* pool, Publisher* publisher, OwnLog* own_log,
                       std::chrono::milliseconds period)
    : pool_(pool), publisher_(publisher), own_log_(own_log) {
  ticker_ = std::make_unique<Ticker>(period, [this] {
    const absl::Status status = Flush();
    if (!status.ok()) {
      Log(LogLevel::kWarning, "acknowledgements_wait", {{"status", Describe(status)}});
    }
  });
}

Watermarks::~Watermarks() { Shutdown(); }

void Watermarks::Shutdown() {
  if (ticker_ == nullptr) return;
  ticker_.reset();
  const absl::Status status = Flush();
  if (!status.ok()) {
    Log(LogLevel::kWarning, "acknowledgements_lost", {{"status", Describe(status)}});
  }
}

absl::StatusOr<ReadMark> Watermarks::MarkRead(int64_t user, int64_t conversation, int64_t seq) {
  struct Outcome {
    ReadMark mark;
    int64_t delivered_seq = 0;
    int64_t log_position = 0;
    std::vector<int64_t> audience;
  };
  const absl::StatusOr<Outcome> outcome =
      pool_->Write([&](pg::Session& session) -> absl::StatusOr<Outcome> {
        const pqxx::result rows = session.Exec(kMarkRead, user, conversation, seq);
        if (rows.empty()) return Error(Reason::CONVERSATION_NOT_FOUND);
        const pqxx::row row = rows[0];
        return Outcome{{row[0].as<int64_t>(), row[2].as<int64_t>()},
                       row[1].as<int64_t>(),
                       row[3].is_null() ? 0 : row[3].as<int64_t>(),
                       ReadAudience(row[4])};
      });
  IM_RETURN_IF_ERROR(outcome.status());
  if (outcome->log_position > 0) {
    ReadCounter().Increment();
    v1::OwnRecord record;
    record.set_position(outcome->log_position);
    record.mutable_read_mark()->set_conversation_id(conversation);
    record.mutable_read_mark()->set_read_seq(outcome->mark.read_seq);
    own_log_->Publish(user, record);
    Tell(outcome->audience, conversation, {user, outcome->mark.read_seq, outcome->delivered_seq},
         "read");
  }
  return outcome->mark;
}

void Watermarks::Acknowledge(int64_t user, int64_t conversation, int64_t seq) {
  MutexLock lock(&mu_);
  const auto found = gathered_.find({conversation, user});
  if (found != gathered_.end()) {
    found->second = std::max(found->second, seq);
  } else if (gathered_.size() < kMostGathered) {
    gathered_.emplace(Key{conversation, user}, seq);
  }
}

absl::Status Watermarks::Flush() {
  MutexLock flush_lock(&flushing_);
  std::vector<std::pair<Key, int64_t>> taken;
  {
    MutexLock lock(&mu_);
    taken.assign(gathered_.begin(), gathered_.end());
    gathered_.clear();
  }
  for (size_t begin = 0; begin < taken.size(); begin += kMostMarks) {
    const std::vector<std::pair<Key, int64_t>> batch(
        taken.begin() + static_cast<ptrdiff_t>(begin),
        taken.begin() + static_cast<ptrdiff_t>(std::min(begin + kMostMarks, taken.size())));
    const absl::Status status = FlushBatch(batch);
    if (!status.ok()) {
      // Next time: marks only rise, so one that was written after all does no harm.
      for (size_t i = begin; i < taken.size(); ++i) {
        Acknowledge(taken[i].first.second, taken[i].first.first, taken[i].second);
      }
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status Watermarks::FlushBatch(const std::vector<std::pair<Key, int64_t>>& batch) {
  std::vector<int64_t> conversations, users, seqs;
  for (const auto& [key, seq] : batch) {
    conversations.push_back(key.first);
    users.push_back(key.second);
    seqs.push_back(seq);
  }
  std::vector<std::pair<int64_t, Watermark>> risen;  // with their conversations
  std::vector<Key> passed_over;
  std::unordered_map<int64_t, std::vector<int64_t>> audiences;
  IM_RETURN_IF_ERROR(pool_->Write([&](pg::Session& session) {
    for (const pqxx::row& row :
         session.Exec(kAcknowledge, pg::Array(conversations), pg::Array(users), pg::Array(seqs))) {
      const auto conversation = row[0].as<int64_t>();
      if (row[1].is_null()) {
        audiences[conversation] = ReadAudience(row[5]);
      } else if (row[3].is_null()) {
        passed_over.emplace_back(conversation, row[1].as<int64_t>());
      } else if (row[4].as<bool>()) {
        risen.push_back(
            {conversation, {row[1].as<int64_t>(), row[2].as<int64_t>(), row[3].as<int64_t>()}});
      }
    }
  }));
  for (const Key& key : passed_over) {
    const auto item = std::lower_bound(
        batch.begin(), batch.end(), key,
        [](const std::pair<Key, int64_t>& one, const Key& wanted) { return one.first < wanted; });
    Acknowledge(key.second, key.first, item->second);
  }
  DeliveredCounter().Increment(static_cast<double>(risen.size()));
  for (const auto& [conversation, watermark] : risen) {
    Tell(audiences[conversation], conversation, watermark, "delivered");
  }
  return absl::OkStatus();
}

void Watermarks::Tell(const std::vector<int64_t>& audience, int64_t conversation,
                      const Watermark& watermark, const char* kind) {
  if (audience.empty()) return;
  v1::Event event;
  event.mutable_watermark()->set_conversation_id(conversation);
  *event.mutable_watermark()->mutable_watermark() = ToProto(watermark);
  publisher_->PublishEvent(audience, event,
                           absl::StrCat(kind, ":", conversation, ":", watermark.user_id));
}

}  // namespace im::chat
