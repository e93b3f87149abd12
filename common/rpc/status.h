// The one bridge between absl::Status and what leaves the process.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "im/common/v1/failure.pb.h"

namespace im::rpc {

// With a google.rpc.Status in the details. A status without a reason is a defect of ours: it is
// logged and leaves as INTERNAL with an id.
grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

common::v1::Failure ToFailure(const absl::Status& status);
absl::Status FromFailure(const common::v1::Failure& failure);

}  // namespace im::rpc
