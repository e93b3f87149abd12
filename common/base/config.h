// Configuration of a daemon: one file, environment, flags, in that order of increasing weight.
//
//   Config config("im-auth", "Accounts, devices and tokens.");
//   config.Add("server.listen", &options.listen, "Address to listen on.");
//   if (auto exit_code = config.Parse(argc, argv)) return *exit_code;
//
// The option "server.listen" is the key `listen` of section [server] in the file (its format is in
// config_file.h), IM_SERVER_LISTEN in the environment and --server.listen on the command line.
// Unknown keys and bad values are errors that say where. --print-config prints the result as a
// file; --help prints the reference.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

namespace im {

class Config {
 public:
  Config(const std::string& program, const std::string& description);

  // `value` holds the default, and must outlive Parse.
  template <typename T>
  CLI::Option* Add(const std::string& key, T* value, const std::string& description) {
    return Prepare(app_.add_option("--" + key, *value, description), key);
  }

  // For subcommands and positional arguments.
  CLI::App& app() { return app_; }

  // An exit code if the program should end now: 0 after --help, --version or --print-config, 2
  // after an error, which has been printed to stderr.
  std::optional<int> Parse(int argc, char** argv);

 private:
  CLI::Option* Prepare(CLI::Option* option, const std::string& key);

  CLI::App app_;
  bool print_config_ = false;
};

// The options that all daemons have.
struct ServerOptions {
  std::string listen;
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_client_ca;
};
struct LoggingOptions {
  std::string level = "info";
  std::string format = "text";
};
struct MetricsOptions {
  std::string listen;
};

void AddLoggingOptions(Config* config, LoggingOptions* options);
void AddMetricsOptions(Config* config, MetricsOptions* options);
// Of a service behind the gateway.
void AddServerOptions(Config* config, ServerOptions* options);

void InitLog(const LoggingOptions& options, const std::string& service);

}  // namespace im
