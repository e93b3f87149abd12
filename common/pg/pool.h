// PostgreSQL connections for code that may block.
//
// Every writing transaction is one autocommit statement, so that a process that is stopped in the
// middle holds no lock. All SQL takes parameters only (a text that is put together while the
// program runs does not compile: Sql), and is prepared on first use per connection.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <pqxx/pqxx>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"

namespace im::pg {

// The text of a statement: a literal or a constexpr array, so that nothing a person sent can be
// part of it.
class Sql {
 public:
  template <size_t N>
  consteval Sql(const char (&text)[N]) : text_(text) {}  // NOLINT(google-explicit-constructor)
  constexpr const char* text() const { return text_; }

 private:
  const char* text_;
};

// One connection, in the hands of one thread.
class Session {
 public:
  // Throws pqxx exceptions.
  explicit Session(const std::string& url);

  // Prepares `sql` on first use.
  template <typename... Args>
  pqxx::result Exec(Sql sql, Args&&... args) {
    pqxx::nontransaction transaction(connection_);
    return transaction.exec_prepared(Prepare(sql.text()), std::forward<Args>(args)...);
  }

  pqxx::connection& connection() { return connection_; }

 private:
  const std::string& Prepare(const char* sql);

  pqxx::connection connection_;
  std::unordered_map<const char*, std::string> prepared_;
};

// What a pqxx exception means. `writing`: a connection lost now leaves the outcome unknown.
absl::Status StatusFromException(const std::exception& exception, bool writing);
// Whether the connection that threw is of no more use.
bool BreaksConnection(const std::exception& exception);

struct PoolOptions {
  std::string url;
  int connections = 4;
  // Called on each new connection before use; may throw.
  std::function<void(Session&)> on_connect;
};

// Thread-safe.
class Pool {
 public:
  explicit Pool(PoolOptions options);
  ~Pool();

  // Runs `work(Session&)`, which returns a value, an absl::Status or an absl::StatusOr, and turns
  // exceptions into statuses. Waits for a free connection. A read is tried once more if its
  // connection turns out to be dead.
  template <typename F>
  auto Read(F&& work) {
    return Run(work, /*writing=*/false);
  }
  // If the connection is lost meanwhile: OUTCOME_UNKNOWN.
  template <typename F>
  auto Write(F&& work) {
    return Run(work, /*writing=*/true);
  }

  // Whether the database answers. For health checks.
  bool Ping();

 private:
  struct Lease;
  template <typename T>
  struct ResultOf {
    using type = absl::StatusOr<T>;
  };
  template <typename T>
  struct ResultOf<absl::StatusOr<T>> {
    using type = absl::StatusOr<T>;
  };

  template <typename F>
  auto Run(F& work, bool writing) {
    using Raw = std::invoke_result_t<F&, Session&>;
    using Result = std::conditional_t<
        std::is_void_v<Raw> || std::is_same_v<Raw, absl::Status>, absl::Status,
        typename ResultOf<std::conditional_t<std::is_void_v<Raw>, int, Raw>>::type>;
    for (int attempt = 0;; ++attempt) {
      std::unique_ptr<Session> session;
      absl::Status status = Acquire(&session);
      if (!status.ok()) return Result(status);
      try {
        if constexpr (std::is_void_v<Raw>) {
          work(*session);
          Release(std::move(session));
          return Result(absl::OkStatus());
        } else {
          Result result(work(*session));
          Release(std::move(session));
          return result;
        }
      } catch (const std::exception& e) {
        status = StatusFromException(e, writing);
        const bool broken = BreaksConnection(e);
        Discard(std::move(session), broken);
        if (broken && !writing && attempt == 0) continue;
        return Result(status);
      }
    }
  }

  absl::Status Acquire(std::unique_ptr<Session>* session);
  void Release(std::unique_ptr<Session> session);
  // After a failure; if `broken`, the idle connections are dropped too, for they are dead as well.
  void Discard(std::unique_ptr<Session> session, bool broken);

  const PoolOptions options_;
  Mutex mu_;
  CondVar freed_;
  std::vector<std::unique_ptr<Session>> idle_ IM_GUARDED_BY(mu_);
  int leased_ IM_GUARDED_BY(mu_) = 0;
};

// PostgreSQL array literals of numbers, as parameters: "{1,2,3}".
template <typename Container>
std::string Array(const Container& numbers) {
  std::string text = "{";
  for (const auto& number : numbers) {
    if (text.size() > 1) text += ',';
    text += std::to_string(number);
  }
  return text += '}';
}
// Of text: quoted as needed.
std::string TextArray(const std::vector<std::string>& texts);

// bytea as parameter and as result.
inline pqxx::binarystring Bytes(std::string_view bytes) {
  return pqxx::binarystring(bytes.data(), bytes.size());
}
inline std::string Bytes(const pqxx::field& field) { return pqxx::binarystring(field).str(); }

// timestamptz as microseconds since 1970: select it as (extract(epoch from at) * 1000000)::bigint.
using Micros = int64_t;

}  // namespace im::pg
