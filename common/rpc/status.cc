#include "common/rpc/status.h"

#include <google/protobuf/util/time_util.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace im::rpc {
namespace {

using google::protobuf::util::TimeUtil;

// Makes sure that a reason is there.
absl::Status WithReason(const absl::Status& status) {
  if (status.ok() || ReasonOf(status)) return status;
  const std::string id = RandomHex(6);
  Log(LogLevel::kError, "error_without_reason", {{"id", id}, {"what", Describe(status)}});
  return Error(Reason::INTERNAL, absl::StrCat("internal error ", id));
}

// Reasons that a newer server knows and this code does not are kept by their code.
absl::Status Assemble(int code, const std::string& reason, const std::string& message,
                      const ErrorDetails& details) {
  if (const auto known = ParseReason(reason)) return Error(*known, message, details);
  return absl::Status(static_cast<absl::StatusCode>(code), message);
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& original) {
  if (original.ok()) return grpc::Status::OK;
  const absl::Status status = WithReason(original);
  const ErrorDetails details = DetailsOf(status);
  google::rpc::Status rich;
  rich.set_code(static_cast<int>(status.code()));
  rich.set_message(std::string(status.message()));
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(ReasonName(*ReasonOf(status))));
  info.set_domain("im");
  for (const auto& [key, value] : details.metadata) (*info.mutable_metadata())[key] = value;
  rich.add_details()->PackFrom(info);
  if (!details.violations.empty()) {
    google::rpc::BadRequest bad;
    for (const Violation& violation : details.violations) {
      auto* field = bad.add_field_violations();
      field->set_field(violation.field);
      field->set_description(violation.description);
    }
    rich.add_details()->PackFrom(bad);
  }
  if (details.retry_after) {
    google::rpc::RetryInfo retry;
    *retry.mutable_retry_delay() = TimeUtil::MillisecondsToDuration(details.retry_after->count());
    rich.add_details()->PackFrom(retry);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      rich.SerializeAsString());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  ErrorDetails details;
  std::string reason;
  google::rpc::Status rich;
  if (rich.ParseFromString(status.error_details())) {
    for (const auto& any : rich.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::BadRequest bad;
      google::rpc::RetryInfo retry;
      if (any.UnpackTo(&info)) {
        reason = info.reason();
        details.metadata.insert(info.metadata().begin(), info.metadata().end());
      } else if (any.UnpackTo(&bad)) {
        for (const auto& field : bad.field_violations()) {
          details.violations.push_back({field.field(), field.description()});
        }
      } else if (any.UnpackTo(&retry)) {
        details.retry_after =
            std::chrono::milliseconds(TimeUtil::DurationToMilliseconds(retry.retry_delay()));
      }
    }
  }
  return Assemble(static_cast<int>(status.error_code()), reason, status.error_message(), details);
}

common::v1::Failure ToFailure(const absl::Status& original) {
  const absl::Status status = WithReason(original);
  const ErrorDetails details = DetailsOf(status);
  common::v1::Failure failure;
  failure.set_code(static_cast<int>(status.code()));
  if (const auto reason = ReasonOf(status)) failure.set_reason(std::string(ReasonName(*reason)));
  failure.set_message(std::string(status.message()));
  for (const Violation& violation : details.violations) {
    auto* field = failure.add_violations();
    field->set_field(violation.field);
    field->set_description(violation.description);
  }
  if (details.retry_after) {
    *failure.mutable_retry_after() = TimeUtil::MillisecondsToDuration(details.retry_after->count());
  }
  for (const auto& [key, value] : details.metadata) (*failure.mutable_metadata())[key] = value;
  return failure;
}

absl::Status FromFailure(const common::v1::Failure& failure) {
  ErrorDetails details;
  for (const auto& field : failure.violations()) {
    details.violations.push_back({field.field(), field.description()});
  }
  if (failure.has_retry_after()) {
    details.retry_after =
        std::chrono::milliseconds(TimeUtil::DurationToMilliseconds(failure.retry_after()));
  }
  details.metadata.insert(failure.metadata().begin(), failure.metadata().end());
  return Assemble(failure.code(), failure.reason(), failure.message(), details);
}

}  // namespace im::rpc
