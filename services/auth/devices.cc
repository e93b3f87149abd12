#include "services/auth/devices.h"

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/metrics.h"

namespace im::auth {
namespace {

constexpr int kDefaultPage = 50;
constexpr int kMostPage = 100;

void CountRefresh(const absl::Status& status) {
  static auto& family = CounterFamily("im_auth_refreshes_total", "Refreshes by what came of them.");
  const auto reason = ReasonOf(status);
  const std::string outcome =
      status.ok() ? "OK" : std::string(ReasonName(reason.value_or(Reason::INTERNAL)));
  family.Add({{"outcome", outcome}}).Increment();
}

std::string PageToken(const Device& last) {
  return absl::WebSafeBase64Escape(absl::StrCat(ToMicros(last.last_used_at), ":", last.device_id));
}

absl::StatusOr<DevicePosition> ParsePageToken(std::string_view token) {
  std::string text;
  int64_t micros = 0;
  DevicePosition position;
  if (token.size() <= 100 &&
      absl::WebSafeBase64Unescape(absl::string_view(token.data(), token.size()), &text)) {
    const std::vector<std::string> parts = absl::StrSplit(text, ':');
    if (parts.size() == 2 && absl::SimpleAtoi(parts[0], &micros) &&
        absl::SimpleAtoi(parts[1], &position.device_id) && micros >= 0 &&
        micros < 253402300800000000) {  // year 10000
      position.last_used_at = FromMicros(micros);
      return position;
    }
  }
  return Error(Reason::PAGE_TOKEN_INVALID);
}

}  // namespace

Devices::Devices(PgDevices* store, const TokenMint* mint, RevocationFeed* feed, token::Clock clock)
    : store_(store), mint_(mint), feed_(feed), clock_(std::move(clock)) {}

absl::StatusOr<TokenPair> Devices::Refresh(std::string_view refresh_token) {
  absl::StatusOr<TokenPair> tokens = RefreshUncounted(refresh_token);
  CountRefresh(tokens.status());
  return tokens;
}

absl::StatusOr<TokenPair> Devices::RefreshUncounted(std::string_view refresh_token) {
  const std::optional<RefreshToken> token = RefreshToken::Parse(refresh_token);
  if (!token) return Error(Reason::REFRESH_TOKEN_INVALID);
  IM_RETURN_IF_ERROR(mint_->Ready());
  const RefreshToken next = token->Next();
  const Time expires_at = mint_->RefreshExpiry();
  IM_ASSIGN_OR_RETURN(const RefreshResult result,
                      store_->Refresh(*token, next, expires_at, clock_()));
  switch (result.outcome) {
    case RefreshOutcome::kOk:
      return mint_->Mint(result.user_id, result.device_id, next, expires_at);
    case RefreshOutcome::kUnknown:
      return Error(Reason::REFRESH_TOKEN_INVALID);
    case RefreshOutcome::kAccountLocked:
      return Error(Reason::ACCOUNT_LOCKED);
    case RefreshOutcome::kReused:
      feed_->Announce({result.device_id});
      return Error(Reason::REFRESH_TOKEN_REUSED);
  }
  return absl::InternalError("no such outcome");
}

absl::StatusOr<DevicePage> Devices::List(int64_t user_id, int page_size,
                                         std::string_view page_token) {
  if (page_size < 0 || page_size > kMostPage) {
    return InvalidField("page_size", "not 0 to 100");
  }
  if (page_size == 0) page_size = kDefaultPage;
  std::optional<DevicePosition> after;
  if (!page_token.empty()) {
    IM_ASSIGN_OR_RETURN(after, ParsePageToken(page_token));
  }
  DevicePage page;
  // One more tells whether there is another page.
  IM_ASSIGN_OR_RETURN(page.devices, store_->List(user_id, after, page_size + 1, clock_()));
  if (page.devices.size() > static_cast<size_t>(page_size)) {
    page.devices.resize(page_size);
    page.next_page_token = PageToken(page.devices.back());
  }
  return page;
}

absl::StatusOr<int> Devices::End(int64_t user_id, int64_t device_id) {
  IM_ASSIGN_OR_RETURN(const EndedDevices result, store_->End(user_id, device_id, clock_()));
  if (!result.found) return Error(Reason::DEVICE_NOT_FOUND);
  feed_->Announce(result.ended);
  return result.logged_in;
}

absl::StatusOr<int> Devices::EndOthers(int64_t user_id, int64_t device_id) {
  IM_ASSIGN_OR_RETURN(const EndedDevices result, store_->EndOthers(user_id, device_id, clock_()));
  feed_->Announce(result.ended);
  return result.logged_in;
}

}  // namespace im::auth
