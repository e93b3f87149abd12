// What register and login share.
#pragma once

#include <string>

#include "im/auth/v1/accounts.pb.h"
#include "imctl/context.h"

namespace im::imctl {

// Fails if the profile holds somebody's tokens already.
absl::Status CheckFree(Context& context, const std::string& user_name);

auth::v1::DeviceDescription DescribeDevice(const std::string& name);

// Keeps the tokens in the profile and says so.
absl::Status KeepAccount(Context& context, const auth::v1::Profile& profile,
                         const auth::v1::Tokens& tokens);

}  // namespace im::imctl
