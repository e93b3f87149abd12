#include "services/chat/own_log.h"

#include <google/protobuf/util/time_util.h>

#include <utility>

#include "common/base/error.h"

namespace im::chat {
namespace {

using google::protobuf::util::TimeUtil;

enum Kind : int { kContact = 1, kSettings = 2, kReadMark = 3 };

// More than this for one account at once is better fetched by Have.
constexpr int kMostNews = 200;

// What a record says, beside its place: joined to rows `o` of chat.own_log and the user's row `u`,
// by key whatever the planner guesses.
#define IM_RECORD_COLUMNS                                               \
  "o.kind, o.object, o.position, u.reachability, c.state, c.greeting, " \
  "(extract(epoch from c.since) * 1000000)::bigint AS since, c.blocked, m.read_seq "
#define IM_RECORD_JOINS                                                                     \
  "LEFT JOIN LATERAL (SELECT x.state, x.greeting, x.since, x.blocked FROM chat.contacts x " \
  "  WHERE o.kind = 1 AND x.user_id = u.user_id AND x.other_user_id = o.object LIMIT 1) c " \
  "  ON true "                                                                              \
  "LEFT JOIN LATERAL (SELECT coalesce(max(s.read_seq), 0) AS read_seq FROM chat.members s " \
  "  WHERE o.kind = 3 AND s.user_id = u.user_id AND s.conversation_id = o.object) m ON true "

// One statement, so that the position and the records are of one moment. Index: own_log_position.
constexpr char kRead[] =
    "SELECT u.log_position, " IM_RECORD_COLUMNS
    "FROM chat.users u "
    "LEFT JOIN LATERAL (SELECT l.kind, l.object, l.position FROM chat.own_log l "
    "  WHERE l.user_id = u.user_id AND l.position > $2 ORDER BY l.position LIMIT $3) o "
    "  ON true " IM_RECORD_JOINS "WHERE u.user_id = $1 ORDER BY o.position";

// Of each user all from the first record that changed since then: positions and times rise
// together, but a clock that was set back must not leave a hole. `before` is the newest position
// that is older. Index: own_log_position.
constexpr char kChanged[] =
    "SELECT u.user_id, u.log_position, f.before, " IM_RECORD_COLUMNS
    "FROM chat.own_log_news($1::bigint[], to_timestamp($2::float8 / 1000000)) n "
    "CROSS JOIN LATERAL (SELECT x.user_id, x.log_position, x.reachability FROM chat.users x "
    "  WHERE x.user_id = n.user_id LIMIT 1) u "
    "CROSS JOIN LATERAL (SELECT coalesce(max(l.position), 0) AS before FROM chat.own_log l "
    "  WHERE l.user_id = n.user_id AND l.position < n.first_position) f "
    "CROSS JOIN LATERAL (SELECT l.kind, l.object, l.position FROM chat.own_log l "
    "  WHERE l.user_id = n.user_id AND l.position >= n.first_position "
    "  ORDER BY l.position LIMIT $3) o " IM_RECORD_JOINS "ORDER BY u.user_id, o.position";

v1::OwnRecord ReadRecord(const pqxx::row& row) {
  v1::OwnRecord record;
  record.set_position(row["position"].as<int64_t>());
  switch (row["kind"].as<int>()) {
    case kContact: {
      v1::Contact* contact = record.mutable_contact();
      contact->set_user_id(row["object"].as<int64_t>());
      contact->set_state(static_cast<v1::ContactState>(row["state"].as<int>()));
      contact->set_greeting(row["greeting"].as<std::string>());
      *contact->mutable_since() = TimeUtil::MicrosecondsToTimestamp(row["since"].as<int64_t>());
      contact->set_blocked(row["blocked"].as<bool>());
      break;
    }
    case kSettings:
      record.mutable_settings()->set_reachability(
          static_cast<v1::Reachability>(row["reachability"].as<int>()));
      break;
    case kReadMark:
      record.mutable_read_mark()->set_conversation_id(row["object"].as<int64_t>());
      record.mutable_read_mark()->set_read_seq(row["read_seq"].as<int64_t>());
      break;
  }
  return record;
}

}  // namespace

OwnLog::OwnLog(pg::Pool* pool, Publisher* publisher) : pool_(pool), publisher_(publisher) {}

absl::StatusOr<OwnLogPage> OwnLog::Read(int64_t user_id, int64_t after_position, int limit) const {
  return pool_->Read([&](pg::Session& session) {
    // One more than asked for tells whether more follow.
    const pqxx::result rows =
        session.Exec(kRead, user_id, after_position, limit == 0 ? 0 : limit + 1);
    OwnLogPage page;
    for (const pqxx::row& row : rows) {
      page.position = row["log_position"].as<int64_t>();
      if (row["kind"].is_null()) break;
      if (page.records.size() == static_cast<size_t>(limit)) {
        page.more = true;
        page.position = page.records.back().position();
        break;
      }
      page.records.push_back(ReadRecord(row));
    }
    return page;
  });
}

absl::StatusOr<std::vector<OwnLogNews>> OwnLog::ChangedSince(const std::vector<int64_t>& user_ids,
                                                             int64_t since) const {
  return pool_->Read([&](pg::Session& session) {
    const pqxx::result rows = session.Exec(kChanged, pg::Array(user_ids), since, kMostNews + 1);
    std::vector<OwnLogNews> news;
    for (const pqxx::row& row : rows) {
      const auto user_id = row["user_id"].as<int64_t>();
      if (news.empty() || news.back().user_id != user_id) {
        OwnLogNews& next = news.emplace_back();
        next.user_id = user_id;
        next.changed.set_after_position(row["before"].as<int64_t>());
        next.changed.set_position(row["log_position"].as<int64_t>());
      }
      *news.back().changed.add_records() = ReadRecord(row);
    }
    for (OwnLogNews& one : news) {
      if (one.changed.records_size() <= kMostNews) continue;
      one.changed.clear_records();
      one.changed.set_after_position(one.changed.position());
    }
    return news;
  });
}

void OwnLog::Publish(int64_t user_id, const v1::OwnRecord& record) const {
  if (publisher_ == nullptr) return;
  v1::Event event;
  v1::OwnLogChanged* changed = event.mutable_own_log();
  changed->set_after_position(record.position() - 1);
  changed->set_position(record.position());
  *changed->add_records() = record;
  publisher_->PublishEvent({user_id}, event);
}

v1::OwnLogChanged ToChanged(int64_t after_position, const OwnLogPage& page) {
  v1::OwnLogChanged changed;
  changed.set_after_position(after_position);
  changed.set_position(page.position);
  changed.mutable_records()->Add(page.records.begin(), page.records.end());
  return changed;
}

}  // namespace im::chat
