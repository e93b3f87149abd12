#include "imctl/profile.h"

#include <fcntl.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/random.h"
#include "imctl/output.h"

namespace im::imctl {

using google::protobuf::Struct;
using google::protobuf::util::JsonStringToMessage;

namespace {

namespace fs = std::filesystem;

constexpr char kAccount[] = "account.json";
constexpr char kPeople[] = "people.json";
constexpr char kSnapshot[] = "have.jsonl";
constexpr char kLock[] = "lock";

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

absl::Status CannotUse(const std::string& path) {
  return absl::DataLossError(absl::StrCat("cannot use ", path, ": ", std::strerror(errno)));
}

std::string TextOf(const Struct& object, const std::string& name) {
  const auto it = object.fields().find(name);
  return it == object.fields().end() ? "" : it->second.string_value();
}

// A nested message, as the JSON it was written as.
template <typename Message>
bool ReadNested(const Struct& object, const std::string& name, Message* message) {
  const auto it = object.fields().find(name);
  if (it == object.fields().end()) return false;
  std::string json;
  return google::protobuf::util::MessageToJsonString(it->second.struct_value(), &json).ok() &&
         JsonStringToMessage(json, message).ok();
}

}  // namespace

absl::StatusOr<Profile> Profile::Open(const std::string& name) {
  if (name.empty() || name[0] == '.' || name.find('/') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", name, "' is no name for a profile: no slash, no dot at the start"));
  }
  std::string base = Environment("IMCTL_HOME");
  if (base.empty()) {
    const std::string config = Environment("XDG_CONFIG_HOME");
    const std::string home = Environment("HOME");
    if (!config.empty()) {
      base = absl::StrCat(config, "/imctl");
    } else if (!home.empty()) {
      base = absl::StrCat(home, "/.config/imctl");
    } else {
      return absl::InvalidArgumentError(
          "set HOME or IMCTL_HOME, so that there is a place for profiles");
    }
  }
  return Profile(absl::StrCat(base, "/", name));
}

absl::Status Profile::MakeFolder() const {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (!error) fs::permissions(folder_, fs::perms::owner_all, error);
  if (error)
    return absl::DataLossError(absl::StrCat("cannot make ", folder_, ": ", error.message()));
  return absl::OkStatus();
}

absl::Status Profile::Replace(const std::string& name, const std::string& text) const {
  IM_RETURN_IF_ERROR(MakeFolder());
  const std::string path = absl::StrCat(folder_, "/", name);
  // Another process may write at the same time.
  const std::string fresh = absl::StrCat(path, ".", RandomHex(4));
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return CannotUse(fresh);
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = write(fd, text.data() + written, text.size() - written);
    if (count < 0) break;
    written += static_cast<size_t>(count);
  }
  // Tokens that are used up at the server must not come back after a power cut.
  const bool stored = written == text.size() && fsync(fd) == 0;
  const absl::Status failed = stored ? absl::OkStatus() : CannotUse(fresh);
  close(fd);
  if (stored && rename(fresh.c_str(), path.c_str()) == 0) return absl::OkStatus();
  const absl::Status status = failed.ok() ? CannotUse(path) : failed;
  unlink(fresh.c_str());
  return status;
}

std::optional<std::string> Profile::Read(const std::string& name) const {
  std::ifstream file(absl::StrCat(folder_, "/", name), std::ios::binary);
  if (!file) return std::nullopt;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

absl::StatusOr<std::optional<Account>> Profile::ReadAccount() const {
  const auto text = Read(kAccount);
  if (!text) return std::optional<Account>();
  Struct object;
  Account account;
  if (!JsonStringToMessage(*text, &object).ok() ||
      !ReadNested(object, "profile", &account.profile) ||
      !ReadNested(object, "tokens", &account.tokens)) {
    return absl::DataLossError(
        absl::StrCat(folder_, "/", kAccount, " is damaged: remove it and log in again"));
  }
  account.server = TextOf(object, "server");
  account.ca_file = TextOf(object, "ca_file");
  account.tls = TextOf(object, "tls") == "yes";
  return std::optional<Account>(std::move(account));
}

absl::Status Profile::WriteAccount(const Account& account) const {
  const auto before = ReadAccount();
  const bool same = before.ok() && *before && (*before)->server == account.server &&
                    (*before)->profile.user_id() == account.profile.user_id();
  if (!same) {
    std::error_code ignored;
    fs::remove(absl::StrCat(folder_, "/", kPeople), ignored);
    fs::remove(absl::StrCat(folder_, "/", kSnapshot), ignored);
  }
  return Replace(kAccount, absl::StrCat("{\"server\":", JsonString(account.server),
                                        ",\"tls\":", JsonString(account.tls ? "yes" : "no"),
                                        ",\"ca_file\":", JsonString(account.ca_file),
                                        ",\"profile\":", ToJson(account.profile),
                                        ",\"tokens\":", ToJson(account.tokens), "}\n"));
}

absl::Status Profile::Remove() const {
  std::error_code error;
  if (!fs::exists(folder_, error)) return absl::OkStatus();
  // Else whoever exchanges the tokens would bring the account back.
  IM_ASSIGN_OR_RETURN(const Held lock, Lock());
  for (const char* name : {kAccount, kPeople, kSnapshot}) {
    fs::remove(absl::StrCat(folder_, "/", name), error);
    if (error) {
      return absl::DataLossError(
          absl::StrCat("cannot remove ", folder_, "/", name, ": ", error.message()));
    }
  }
  return absl::OkStatus();
}

std::map<std::string, int64_t> Profile::ReadPeople() const {
  std::map<std::string, int64_t> people;
  Struct object;
  const auto text = Read(kPeople);
  // A cache: whatever is wrong with it, people are looked up again.
  if (!text || !JsonStringToMessage(*text, &object).ok()) return people;
  for (const auto& [name, id] : object.fields()) {
    people[name] = std::strtoll(id.string_value().c_str(), nullptr, 10);
  }
  return people;
}

void Profile::WritePeople(const std::map<std::string, int64_t>& people) const {
  Struct object;
  for (const auto& [name, id] : people) {
    (*object.mutable_fields())[name].set_string_value(absl::StrCat(id));
  }
  Replace(kPeople, ToJson(object) + "\n").IgnoreError();
}

absl::StatusOr<client::Snapshot> Profile::ReadSnapshot() const {
  client::Snapshot snapshot;
  const auto text = Read(kSnapshot);
  if (!text) return snapshot;
  std::istringstream lines(*text);
  std::string line;
  if (!std::getline(lines, line) || !JsonStringToMessage(line, &snapshot.have).ok()) {
    return absl::DataLossError(absl::StrCat(folder_, "/", kSnapshot, " is damaged: remove it"));
  }
  while (std::getline(lines, line)) {
    chat::v1::Conversation conversation;
    if (!JsonStringToMessage(line, &conversation).ok()) {
      return absl::DataLossError(absl::StrCat(folder_, "/", kSnapshot, " is damaged: remove it"));
    }
    snapshot.conversations.push_back(std::move(conversation));
  }
  return snapshot;
}

absl::Status Profile::WriteSnapshot(const client::Snapshot& snapshot) const {
  std::string text = ToJson(snapshot.have) + "\n";
  for (const auto& conversation : snapshot.conversations) text += ToJson(conversation) + "\n";
  return Replace(kSnapshot, text);
}

absl::StatusOr<Profile::Held> Profile::Lock() const {
  IM_RETURN_IF_ERROR(MakeFolder());
  const std::string path = absl::StrCat(folder_, "/", kLock);
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return CannotUse(path);
  Held held(fd);
  while (flock(fd, LOCK_EX) != 0) {
    if (errno != EINTR) return CannotUse(path);
  }
  return held;
}

Profile::Held::~Held() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace im::imctl
