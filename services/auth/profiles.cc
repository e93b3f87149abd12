#include "services/auth/profiles.h"

#include <unordered_map>

#include "common/base/error.h"
#include "common/base/text.h"
#include "services/auth/fields.h"
#include "services/auth/user_name.h"

namespace im::auth {
namespace {

constexpr size_t kMostLookedUp = 100;
constexpr size_t kMostFound = 1000;
constexpr size_t kMostMatched = 10000;

absl::Status NoAccount() { return Error(Reason::TOKEN_INVALID, "the account does not exist"); }

}  // namespace

absl::StatusOr<Profile> Profiles::Get(int64_t user_id) {
  IM_ASSIGN_OR_RETURN(const std::vector<Profile> found, store_->Find({}, {user_id}));
  if (found.empty()) return NoAccount();
  return found.front();
}

absl::StatusOr<Profile> Profiles::Update(int64_t user_id,
                                         const std::optional<std::string>& display_name,
                                         const std::optional<std::string>& bio) {
  if (display_name) {
    IM_RETURN_IF_ERROR(CheckLine("display_name", *display_name, kMostNameCharacters));
  }
  if (bio) IM_RETURN_IF_ERROR(CheckText("bio", *bio, kMostBioCharacters));
  IM_ASSIGN_OR_RETURN(const std::optional<Profile> profile,
                      store_->Update(user_id, display_name, bio));
  if (!profile) return NoAccount();
  return *profile;
}

absl::StatusOr<std::vector<Profile>> Profiles::LookUp(const std::vector<std::string>& user_names,
                                                      const std::vector<int64_t>& user_ids) {
  if (user_names.size() + user_ids.size() > kMostLookedUp) {
    return InvalidField("user_names", "more than 100 names and ids together");
  }
  std::vector<std::string> names;
  for (const std::string& name : user_names) {
    if (auto folded = ParseUserName(name)) names.push_back(*std::move(folded));
  }
  IM_ASSIGN_OR_RETURN(const std::vector<Profile> found, store_->Find(names, user_ids));
  std::unordered_map<std::string, const Profile*> by_name;
  std::unordered_map<int64_t, const Profile*> by_id;
  for (const Profile& profile : found) {
    by_name[profile.user_name] = &profile;
    by_id[profile.user_id] = &profile;
  }
  std::vector<Profile> profiles;
  for (const std::string& name : names) {
    if (const auto entry = by_name.find(name); entry != by_name.end()) {
      profiles.push_back(*entry->second);
    }
  }
  for (const int64_t id : user_ids) {
    if (const auto entry = by_id.find(id); entry != by_id.end()) profiles.push_back(*entry->second);
  }
  return profiles;
}

absl::StatusOr<std::vector<int64_t>> Profiles::Existing(const std::vector<int64_t>& user_ids) {
  if (user_ids.size() > kMostFound) return InvalidField("user_ids", "more than 1,000");
  return store_->Existing(user_ids);
}

absl::StatusOr<std::vector<int64_t>> Profiles::Matching(const std::vector<int64_t>& user_ids,
                                                        const std::string& text) {
  if (user_ids.size() > kMostMatched) return InvalidField("user_ids", "more than 10,000");
  if (!IsText(text)) return InvalidField("query", "not UTF-8 text, or holds a NUL");
  return store_->Matching(user_ids, text);
}

}  // namespace im::auth
