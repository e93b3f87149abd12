// Accounts without im-auth.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "services/chat/directory.h"

namespace im::chat {

// Thread-safe. Knows everybody up to a number, as "user N".
class FakeDirectory : public Directory {
 public:
  explicit FakeDirectory(int64_t last_user) : last_user_(last_user) {}

  void Break(bool broken) {
    MutexLock lock(&mu_);
    broken_ = broken;
  }

  absl::Status CheckExist(const std::vector<int64_t>& ids) override {
    MutexLock lock(&mu_);
    if (broken_) return Error(Reason::SERVICE_UNAVAILABLE);
    std::vector<int64_t> missing;
    for (const int64_t id : ids) {
      if (id < 1 || id > last_user_) missing.push_back(id);
    }
    if (missing.empty()) return absl::OkStatus();
    return ErrorAboutUsers(Reason::USER_NOT_FOUND, missing);
  }

  absl::StatusOr<std::vector<int64_t>> Match(const std::vector<int64_t>& ids,
                                             const std::string& query) override {
    MutexLock lock(&mu_);
    if (broken_) return Error(Reason::SERVICE_UNAVAILABLE);
    std::vector<int64_t> matching;
    for (const int64_t id : ids) {
      if (absl::StrCat("user ", id).find(query) != std::string::npos) matching.push_back(id);
    }
    std::sort(matching.begin(), matching.end());
    return matching;
  }

 private:
  const int64_t last_user_;
  Mutex mu_;
  bool broken_ IM_GUARDED_BY(mu_) = false;
};

}  // namespace im::chat
