#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/output.h"

namespace im::imctl {

void AddHealth(CLI::App& app, Run* run) {
  auto address = std::make_shared<std::string>();
  CLI::App* command = AddCommand(app, "health", "Ask a process whether it can work",
                                 "imctl health 127.0.0.1:7400\n"
                                 "imctl health unix:/run/im/auth.sock");
  command->add_option("ADDRESS", *address, "HOST:PORT or unix:/path")->required();
  command->callback([=] {
    // Needs no profile: it runs where there is no home.
    *run = [address](Context& context) -> absl::Status {
      IM_RETURN_IF_ERROR(CheckAddress(*address));
      client::Options options;
      options.server = *address;
      options.ca_file = context.options.ca_file;
      options.tls = context.options.tls || !options.ca_file.empty();
      options.call_timeout = std::chrono::seconds(3);
      IM_ASSIGN_OR_RETURN(const auto channel, client::Channel::Open(options));
      IM_ASSIGN_OR_RETURN(const auto response,
                          channel->Call(&grpc::health::v1::Health::Stub::Check,
                                        grpc::health::v1::HealthCheckRequest()));
      const bool serving = response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
      if (context.json()) PrintLine(ToJson(response));
      if (!serving) {
        return absl::FailedPreconditionError(absl::StrCat(*address, " runs but cannot work"));
      }
      if (!context.json()) PrintLine("serving");
      return absl::OkStatus();
    };
  });
}

}  // namespace im::imctl
