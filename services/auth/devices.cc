#include "services/auth/devices.h"

#include "common/base/error.h"
#include "common/base/metrics.h"
#include "common/base/page_token.h"

namespace im::auth {
namespace {

constexpr int kUsualPage = 50;
constexpr int kMostPage = 100;

void CountRefresh(const absl::Status& status) {
  static auto& family = CounterFamily("im_auth_refreshes_total", "Refreshes by what came of them.");
  const auto reason = ReasonOf(status);
  const std::string outcome =
      status.ok() ? "OK" : std::string(ReasonName(reason.value_or(Reason::INTERNAL)));
  family.Add({{"outcome", outcome}}).Increment();
}

// Place: last_used_at in microseconds, device id.
constexpr char kList[] = "devices";
// Times that PostgreSQL is sure to take: until the year 10000.
constexpr int64_t kMicrosEnd = 253402300800000000;

absl::StatusOr<std::optional<DevicePosition>> ParsePosition(std::string_view page_token) {
  IM_ASSIGN_OR_RETURN(const std::vector<int64_t> place, ParsePageToken(kList, page_token, 2));
  if (place.empty()) return std::nullopt;
  if (place[0] < 0 || place[0] >= kMicrosEnd) return Error(Reason::PAGE_TOKEN_INVALID);
  return DevicePosition{FromMicros(place[0]), place[1]};
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
  IM_ASSIGN_OR_RETURN(const int size, PageSize(page_size, kUsualPage, kMostPage));
  IM_ASSIGN_OR_RETURN(const std::optional<DevicePosition> after, ParsePosition(page_token));
  DevicePage page;
  // One more tells whether there is another page.
  IM_ASSIGN_OR_RETURN(page.devices, store_->List(user_id, after, size + 1, clock_()));
  if (page.devices.size() > static_cast<size_t>(size)) {
    page.devices.resize(size);
    const Device& last = page.devices.back();
    page.next_page_token = MakePageToken(kList, {ToMicros(last.last_used_at), last.device_id});
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
