// Where imctl keeps who it is logged in as: one folder per profile.
//
//   account.json   server, account and tokens; mode 0600
//   people.json    user names and ids that were looked up
//   have.jsonl     what `imctl listen` has
//   lock           held while the tokens are exchanged or removed
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/session.h"
#include "im/auth/v1/accounts.pb.h"

namespace im::imctl {

struct Account {
  std::string server;
  bool tls = false;
  std::string ca_file;
  auth::v1::Profile profile;
  auth::v1::Tokens tokens;
};

// Not thread-safe, but processes may share a folder: files are replaced as a whole.
class Profile {
 public:
  // `name` as given by --profile.
  static absl::StatusOr<Profile> Open(const std::string& name);

  const std::string& folder() const { return folder_; }

  // nullopt: not logged in.
  absl::StatusOr<std::optional<Account>> ReadAccount() const;
  // Of another account or server: what is kept of the old one goes.
  absl::Status WriteAccount(const Account& account) const;
  // Waits for the lock.
  absl::Status Remove() const;

  std::map<std::string, int64_t> ReadPeople() const;
  void WritePeople(const std::map<std::string, int64_t>& people) const;

  absl::StatusOr<client::Snapshot> ReadSnapshot() const;
  absl::Status WriteSnapshot(const client::Snapshot& snapshot) const;

  // Held by at most one process. Made by Lock, released by the destructor.
  class Held {
   public:
    explicit Held(int fd) : fd_(fd) {}
    ~Held();
    Held(Held&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
    Held& operator=(Held&&) = delete;

   private:
    int fd_;
  };
  absl::StatusOr<Held> Lock() const;

 private:
  explicit Profile(std::string folder) : folder_(std::move(folder)) {}

  absl::Status MakeFolder() const;
  absl::Status Replace(const std::string& name, const std::string& text) const;
  std::optional<std::string> Read(const std::string& name) const;

  std::string folder_;
};

}  // namespace im::imctl
