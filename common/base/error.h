// Errors with a reason.
//
// Inside the code an error is an absl::Status. Made here, it carries what a client is told beside
// code and message: the reason, field violations, when to retry, facts. common/rpc turns it into a
// gRPC status with google.rpc details, or into an im.common.v1.Failure.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/reasons.h"

namespace im {

enum class Reason {
#define IM_REASON(name, code, text) name,
  IM_REASONS(IM_REASON)
#undef IM_REASON
};

std::string_view ReasonName(Reason reason);
std::optional<Reason> ParseReason(std::string_view name);
absl::StatusCode ReasonCode(Reason reason);
// The sentence of the table.
std::string_view ReasonText(Reason reason);

struct Violation {
  std::string field;
  std::string description;
};

struct ErrorDetails {
  std::optional<std::chrono::milliseconds> retry_after;
  std::vector<Violation> violations;
  std::map<std::string, std::string> metadata;
};

// The reason decides the status code. An empty message: the sentence of the table.
absl::Status Error(Reason reason, std::string_view message = {}, const ErrorDetails& details = {});
// Metadata user_ids says who, the first 100 of them.
absl::Status ErrorAboutUsers(Reason reason, const std::vector<int64_t>& user_ids);
// INVALID_FIELD for one field.
absl::Status InvalidField(std::string_view field, std::string_view description);

// What Error() put in. nullopt: the status is OK or was not made by Error().
std::optional<Reason> ReasonOf(const absl::Status& status);
ErrorDetails DetailsOf(const absl::Status& status);

}  // namespace im

// For functions that return absl::Status or absl::StatusOr.
#define IM_RETURN_IF_ERROR(expr)             \
  do {                                       \
    absl::Status im_status_ = (expr);        \
    if (!im_status_.ok()) return im_status_; \
  } while (false)
#define IM_CONCAT_(a, b) a##b
#define IM_CONCAT(a, b) IM_CONCAT_(a, b)
#define IM_ASSIGN_OR_RETURN(lhs, expr) IM_ASSIGN_OR_RETURN_(IM_CONCAT(im_or_, __LINE__), lhs, expr)
#define IM_ASSIGN_OR_RETURN_(tmp, lhs, expr) \
  auto tmp = (expr);                         \
  if (!tmp.ok()) return tmp.status();        \
  lhs = *std::move(tmp)
