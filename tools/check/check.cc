#include "tools/check/check.h"

#include <limits>
#include <pqxx/pqxx>

#include "absl/strings/str_cat.h"
#include "common/pg/migrate.h"
#include "tools/check/membership.h"
#include "tools/check/rules.h"

namespace im::check {
namespace {

constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();

// Plans are made for each range, statements take as long as they take, and the snapshot lives for
// the whole walk.
constexpr char kSettings[] =
    "SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = 0; "
    "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL work_mem = '64MB'";

// Where the next range may end, and what it holds up to there. Members count like entries.
constexpr char kNextConversations[] =
    "SELECT c.id, c.last_seq, c.last_seq + (SELECT count(*) FROM chat.members m WHERE "
    "m.conversation_id = c.id) FROM chat.conversations c WHERE c.id > $1 ORDER BY c.id LIMIT 2000";
constexpr char kNextAccounts[] =
    "SELECT a.user_id FROM auth.accounts a WHERE a.user_id > $1 ORDER BY a.user_id LIMIT 5000";

using Transaction = pqxx::transaction<pqxx::isolation_level::repeatable_read>;

class Walk {
 public:
  Walk(const CheckOptions& options, Transaction* transaction)
      : options_(options), transaction_(transaction) {}

  Totals Run() {
    for (const pg::Sql rule : WholeRules()) Tell(transaction_->exec(rule.text()));
    for (int64_t after = -kEnd; after < kEnd;) after = Conversations(after);
    for (int64_t after = -kEnd; after < kEnd;) after = Accounts(after);
    return totals_;
  }

 private:
  // A range of them, from above `after` to what it returns.
  int64_t Conversations(int64_t after) {
    const pqxx::result next = transaction_->exec_params(kNextConversations, after);
    // With no more of them: what is of no conversation may lie there still.
    int64_t end = next.empty() ? kEnd : after;
    int64_t size = 0;
    for (const pqxx::row& row : next) {
      size += row[2].as<int64_t>();
      if (size > options_.page && end != after) break;
      end = row[0].as<int64_t>();
      ++totals_.conversations;
      totals_.entries += row[1].as<int64_t>();
    }
    for (const pg::Sql rule : ConversationRules()) {
      Tell(transaction_->exec_params(rule.text(), after, end));
    }
    CheckMembership(transaction_, after, end, options_.on_finding);
    options_.on_progress(totals_);
    return end;
  }

  int64_t Accounts(int64_t after) {
    const pqxx::result next = transaction_->exec_params(kNextAccounts, after);
    const int64_t end = next.empty() ? kEnd : next.back()[0].as<int64_t>();
    totals_.accounts += static_cast<int64_t>(next.size());
    for (const pg::Sql rule : AccountRules()) {
      Tell(transaction_->exec_params(rule.text(), after, end));
    }
    options_.on_progress(totals_);
    return end;
  }

  void Tell(const pqxx::result& rows) const {
    for (const pqxx::row& row : rows) {
      Finding finding{row["rule"].as<std::string>(), {}, row["what"].as<std::string>("")};
      for (const pqxx::field& field : row) {
        const std::string name = field.name();
        if (name != "rule" && name != "what") {
          finding.where.emplace_back(name, field.as<std::string>(""));
        }
      }
      options_.on_finding(finding);
    }
  }

  const CheckOptions& options_;
  Transaction* const transaction_;
  Totals totals_;
};

}  // namespace

absl::StatusOr<Totals> Check(const CheckOptions& options) {
  const absl::Status known = pg::CheckKnown(options.database_url, pg::AllMigrations());
  if (!known.ok()) return known;
  try {
    pqxx::connection connection(options.database_url);
    Transaction transaction(connection);
    transaction.exec(kSettings);
    return Walk(options, &transaction).Run();
  } catch (const std::exception& e) {
    return absl::UnavailableError(e.what());
  }
}

}  // namespace im::check
