// User names and what they stand for: people are named by user name everywhere.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "im/chat/v1/conversations.pb.h"
#include "imctl/context.h"

namespace im::imctl {

// Looks names and ids up, once each: what was found is kept in the profile, since neither ever
// changes. For one thread.
class People {
 public:
  explicit People(Context* context) : context_(context) {}
  ~People();

  // USER_NOT_FOUND, naming those that are not there.
  absl::StatusOr<std::vector<int64_t>> Ids(const std::vector<std::string>& names);
  absl::StatusOr<int64_t> Id(const std::string& name);

  // Fetches the names of these in as few calls as can be; failures leave them unknown.
  void Load(const std::vector<int64_t>& ids);
  // "user 123" for who is not found. Not escaped.
  std::string Name(int64_t id);
  // Names with commas between.
  template <typename Ids>
  std::string Names(const Ids& ids) {
    Load({ids.begin(), ids.end()});
    std::string names;
    for (const int64_t id : ids) names += (names.empty() ? "" : ", ") + Name(id);
    return names;
  }

 private:
  absl::Status LookUp(const std::vector<std::string>& names, const std::vector<int64_t>& ids);
  void ReadKept();
  void Keep(const std::string& name, int64_t id);

  Context* const context_;
  bool read_ = false;
  bool changed_ = false;
  std::map<std::string, int64_t> ids_;
  std::map<int64_t, std::string> names_;
};

// USER_NOT_FOUND for these.
absl::Status NoSuchUsers(const std::vector<std::string>& names);

// "bob" or "user:bob": the direct conversation with bob. "group:12": the group of this id;
// "conversation:12": the same of any kind. "group:TITLE", and any text that is no user's name: the
// group so titled, which must be only one.
absl::StatusOr<chat::v1::Conversation> FindConversation(Context& context, People& people,
                                                        const std::string& who);
// The same; a direct conversation that is not there yet is opened.
absl::StatusOr<chat::v1::Conversation> OpenConversation(Context& context, People& people,
                                                        const std::string& who);
// The same for groups only: "group:12", "TITLE", "group:TITLE".
absl::StatusOr<chat::v1::Conversation> FindGroup(Context& context, const std::string& which);

// "bob", or a group's title.
std::string TitleOf(People& people, const chat::v1::Conversation& conversation);

}  // namespace im::imctl
