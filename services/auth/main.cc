// im-auth: accounts, devices and tokens. The wiring of the program; see README.md beside it.
#include <cstdio>
#include <string>

#include "common/base/config.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/process.h"
#include "common/rpc/server.h"
#include "common/token/token.h"
#include "services/auth/operator_commands.h"
#include "services/auth/server.h"

namespace {

constexpr std::chrono::seconds kGrace{5};

struct Options {
  im::ServerOptions server;
  im::LoggingOptions logging;
  im::MetricsOptions metrics;
  std::string database_url;
  int connections = 8;
  bool registration_open = true;
  int access_token_minutes = 15;
  int refresh_token_days = 60;
  im::auth::PasswordOptions passwords;
};

void AddOptions(im::Config* config, Options* options) {
  AddServerOptions(config, &options->server);
  config->Add("database.url", &options->database_url,
              "PostgreSQL, e.g. postgresql:///im?host=/run/im&user=im");
  config->Add("database.connections", &options->connections, "Connections to it at most.")
      ->check(CLI::Range(2, 1000));
  config->Add("registration.open", &options->registration_open,
              "Whether people may make accounts; if not, only `im-auth user add` does.");
  config
      ->Add("session.access_token_minutes", &options->access_token_minutes,
            "How long an access token works.")
      ->check(CLI::Range(1, static_cast<int>(im::token::kLongestLife.count())));
  config
      ->Add("session.refresh_token_days", &options->refresh_token_days,
            "How long a device stays logged in without being used.")
      ->check(CLI::Range(1, 3650));
  auto& passwords = options->passwords;
  config
      ->Add("passwords.memory_kib", &passwords.hashing.memory_kib,
            "Memory that one Argon2id hash takes, in KiB.")
      ->check(CLI::Range(8, 4 * 1024 * 1024));
  config->Add("passwords.passes", &passwords.hashing.passes, "Passes over that memory.")
      ->check(CLI::Range(1, 100));
  config->Add("passwords.threads", &passwords.threads, "Hashes computed at once.")
      ->check(CLI::Range(1, 256));
  config
      ->Add("passwords.queue", &passwords.queue,
            "Calls that wait for a hash; more are refused as OVERLOADED.")
      ->check(CLI::Range(1, 100000));
  AddLoggingOptions(config, &options->logging);
  AddMetricsOptions(config, &options->metrics);
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "im-auth: %s\n", std::string(status.message()).c_str());
  return 1;
}

int Serve(const Options& options) {
  InitLog(options.logging, "auth");
  const auto metrics = im::ServeMetrics(options.metrics.listen);
  if (!metrics.ok()) return Fail(metrics.status());
  const auto server =
      im::auth::Server::Start({.listen = im::rpc::ToListen(options.server),
                               .database_url = options.database_url,
                               .database_connections = options.connections,
                               .registration_open = options.registration_open,
                               .lives = {std::chrono::minutes(options.access_token_minutes),
                                         std::chrono::hours(24 * options.refresh_token_days)},
                               .passwords = options.passwords});
  if (!server.ok()) return Fail(server.status());
  Log(im::LogLevel::kInfo, "listening", {{"address", (*server)->addresses().front()}});
  im::WaitForShutdownSignal();
  (*server)->Shutdown(kGrace);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  im::InitProcess();
  im::Config config("im-auth", "Accounts, devices and tokens.");
  Options options;
  AddOptions(&config, &options);
  const im::auth::OperatorCommands commands(&config.app());
  if (const auto exit_code = config.Parse(argc, argv)) return *exit_code;
  if (commands.Given()) return commands.Run(options.database_url, options.passwords.hashing);
  return Serve(options);
}
