#include "common/base/error.h"

#include <array>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"

namespace im {
namespace {

// Of 20 characters at most each; gRPC takes 8 KB of trailers by default.
constexpr size_t kMostUsersNamed = 100;

struct Row {
  std::string_view name;
  absl::StatusCode code;
  std::string_view text;
};

constexpr std::array kRows = {
#define IM_REASON(name, code, text) Row{#name, absl::StatusCode::code, text},
    IM_REASONS(IM_REASON)
#undef IM_REASON
};

// Payload urls on absl::Status. Values are flat strings; lists are numbered: ".../violation/0".
constexpr char kReasonUrl[] = "im/reason";
constexpr char kRetryUrl[] = "im/retry_ms";
constexpr char kViolationUrl[] = "im/violation/";
constexpr char kMetadataUrl[] = "im/metadata/";

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

std::string_view ReasonName(Reason reason) { return kRows[static_cast<size_t>(reason)].name; }
absl::StatusCode ReasonCode(Reason reason) { return kRows[static_cast<size_t>(reason)].code; }
std::string_view ReasonText(Reason reason) { return kRows[static_cast<size_t>(reason)].text; }

std::optional<Reason> ParseReason(std::string_view name) {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i].name == name) return static_cast<Reason>(i);
  }
  return std::nullopt;
}

absl::Status Error(Reason reason, std::string_view message, const ErrorDetails& details) {
  absl::Status status(ReasonCode(reason), View(message.empty() ? ReasonText(reason) : message));
  status.SetPayload(kReasonUrl, absl::Cord(View(ReasonName(reason))));
  if (details.retry_after) {
    status.SetPayload(kRetryUrl, absl::Cord(absl::StrCat(details.retry_after->count())));
  }
  for (size_t i = 0; i < details.violations.size(); ++i) {
    const Violation& violation = details.violations[i];
    status.SetPayload(absl::StrCat(kViolationUrl, i),
                      absl::Cord(absl::StrCat(violation.field, "\n", violation.description)));
  }
  for (const auto& [key, value] : details.metadata) {
    status.SetPayload(absl::StrCat(kMetadataUrl, key), absl::Cord(value));
  }
  return status;
}

absl::Status ErrorAboutUsers(Reason reason, const std::vector<int64_t>& user_ids) {
  const auto named = absl::MakeConstSpan(user_ids).subspan(0, kMostUsersNamed);
  return Error(reason, {}, {.metadata = {{"user_ids", absl::StrJoin(named, ",")}}});
}

absl::Status InvalidField(std::string_view field, std::string_view description) {
  return Error(Reason::INVALID_FIELD, absl::StrCat(View(field), ": ", View(description)),
               {.violations = {{std::string(field), std::string(description)}}});
}

std::optional<Reason> ReasonOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kReasonUrl);
  if (!payload) return std::nullopt;
  return ParseReason(std::string(*payload));
}

ErrorDetails DetailsOf(const absl::Status& status) {
  ErrorDetails details;
  std::map<int, Violation> violations;
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    const std::string value(payload);
    if (url == kRetryUrl) {
      int64_t ms = 0;
      if (absl::SimpleAtoi(value, &ms)) details.retry_after = std::chrono::milliseconds(ms);
    } else if (absl::ConsumePrefix(&url, kViolationUrl)) {
      int index = 0;
      const size_t split = value.find('\n');
      if (absl::SimpleAtoi(url, &index) && split != std::string::npos) {
        violations[index] = {value.substr(0, split), value.substr(split + 1)};
      }
    } else if (absl::ConsumePrefix(&url, kMetadataUrl)) {
      details.metadata[std::string(url)] = value;
    }
  });
  for (auto& [index, violation] : violations) details.violations.push_back(std::move(violation));
  return details;
}

}  // namespace im
