// What register and login share.
#pragma once

#include <string>

#include "im/auth/v1/accounts.grpc.pb.h"
#include "imctl/context.h"
#include "imctl/password.h"

namespace im::imctl {

struct LogInOptions {
  std::string name;
  std::string device;
  PasswordOptions password;

  void AddTo(CLI::App* command, const std::string& about_name);
};

// Fails if the profile holds an account, unless it is this one and was logged out by the server.
absl::Status CheckFree(Context& context, const std::string& user_name);

auth::v1::DeviceDescription DescribeDevice(const std::string& name);

// Keeps the tokens in the profile and says so.
absl::Status KeepAccount(Context& context, const auth::v1::Profile& profile,
                         const auth::v1::Tokens& tokens);

// Asks for the password, makes the call, and keeps what it returns. `done` and `advice` are for
// SayUnknown.
template <typename Request, typename Response>
absl::Status LogIn(Context& context, const LogInOptions& options, const std::string& prompt,
                   bool confirm,
                   grpc::Status (auth::v1::AccountService::Stub::*method)(grpc::ClientContext*,
                                                                          const Request&,
                                                                          Response*),
                   Request request, const std::string& done, const std::string& advice) {
  IM_RETURN_IF_ERROR(CheckFree(context, options.name));
  IM_ASSIGN_OR_RETURN(const auto channel, context.OpenChannel());
  IM_ASSIGN_OR_RETURN(const std::string password, ReadPassword(options.password, prompt, confirm));
  request.set_user_name(options.name);
  request.set_password(password);
  *request.mutable_device() = DescribeDevice(options.device);
  const absl::StatusOr<Response> response = channel->Call(method, request);
  if (!response.ok()) return SayUnknown(response.status(), done, advice);
  return KeepAccount(context, response->profile(), response->tokens());
}

}  // namespace im::imctl
