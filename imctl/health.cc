#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/output.h"

namespace im::imctl {

void AddHealth(CLI::App& app, Run* run) {
  struct Options {
    std::string address, certificate_file, key_file;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(app, "health", "Ask a process whether it can work",
                                 "imctl health 127.0.0.1:7400\n"
                                 "imctl health unix:/run/im/auth.sock");
  command->add_option("ADDRESS", options->address, "HOST:PORT or unix:/path")->required();
  CLI::Option* const certificate =
      command
          ->add_option("--certificate", options->certificate_file,
                       "Certificate to show to a process that asks for one")
          ->type_name("FILE");
  CLI::Option* const key =
      command->add_option("--key", options->key_file, "Its private key")->type_name("FILE");
  certificate->needs(key);
  key->needs(certificate);
  command->callback([=] {
    // Needs no profile: it runs where there is no home.
    *run = [options](Context& context) -> absl::Status {
      IM_RETURN_IF_ERROR(CheckAddress(options->address));
      client::Options server;
      server.server = options->address;
      server.ca_file = context.options.ca_file;
      server.certificate_file = options->certificate_file;
      server.key_file = options->key_file;
      server.tls =
          context.options.tls || !server.ca_file.empty() || !server.certificate_file.empty();
      server.call_timeout = std::chrono::seconds(3);
      IM_ASSIGN_OR_RETURN(const auto channel, client::Channel::Open(server));
      IM_ASSIGN_OR_RETURN(const auto response,
                          channel->Call(&grpc::health::v1::Health::Stub::Check,
                                        grpc::health::v1::HealthCheckRequest()));
      const bool serving = response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
      if (context.json()) PrintLine(ToJson(response));
      if (!serving) {
        return absl::FailedPreconditionError(
            absl::StrCat(options->address, " runs but cannot work"));
      }
      if (!context.json()) PrintLine("serving");
      return absl::OkStatus();
    };
  });
}

}  // namespace im::imctl
