#include "common/base/config.h"

#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/config_file.h"
#include "common/base/log.h"
#include "common/base/secrets.h"
#include "common/base/usage.h"

namespace im {
namespace {

std::string EnvironmentName(const std::string& key) {
  std::string name = "IM_";
  for (const char c : key) {
    name += c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

// As it stands in a file: numbers bare, all else quoted; without the passwords in it.
std::string ValueOf(const CLI::Option& option) {
  if (option.get_type_name() == "BOOLEAN") return option.as<bool>() ? "true" : "false";
  const auto value = option.as<std::string>();
  int64_t number = 0;
  const bool is_number = absl::SimpleAtoi(value, &number) && absl::StrCat(number) == value;
  return is_number ? value : QuotedConfigValue(WithoutPasswords(value));
}

// CLI11's own reader breaks up values with commas, # and both kinds of quotes in them.
class SectionedConfig : public CLI::Config {
 public:
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    const auto values = ReadConfigFile(input);
    if (!values.ok()) throw CLI::ConfigError(std::string(values.status().message()));
    std::vector<CLI::ConfigItem> items;
    for (const auto& [key, value] : *values) {
      // CLI11 would let the file win over the environment, and takes an empty variable for none.
      const char* variable = std::getenv(EnvironmentName(key).c_str());
      if (variable != nullptr && *variable != '\0') continue;
      CLI::ConfigItem item;
      item.name = key;
      item.inputs = {value};
      items.push_back(std::move(item));
    }
    return items;
  }

  std::string to_config(const CLI::App* app, bool, bool, std::string) const override {
    std::map<std::string, std::string> sections;
    for (const CLI::Option* option : app->get_options()) {
      if (!option->get_configurable() || option->get_lnames().empty()) continue;
      const std::string& name = option->get_lnames().front();
      const size_t dot = name.find('.');
      if (dot == std::string::npos) continue;
      const std::string value = ValueOf(*option);
      const std::string line =
          "# " + option->get_description() + "\n" + name.substr(dot + 1) + " = " + value + "\n";
      sections[name.substr(0, dot)] += line;
    }
    std::string text;
    for (const auto& [section, lines] : sections) {
      text += (text.empty() ? "" : "\n");
      text += "[" + section + "]\n" + lines;
    }
    return text;
  }
};

// Of wrong flags, keys and values; what fails later exits with 1.
constexpr int kExitUsage = 2;

// How CLI11 begins what it says of a key it does not know.
constexpr char kUnknownKey[] = "INI was not able to parse ";

}  // namespace

Config::Config(const std::string& program, const std::string& description)
    : app_(description, program) {
  app_.config_formatter(std::make_shared<SectionedConfig>());
  app_.set_config("--config", "", "The configuration file.");
  app_.allow_config_extras(CLI::config_extras_mode::error);
  app_.add_flag("--print-config", print_config_, "Print the configuration in force and end.")
      ->configurable(false);
  app_.set_version_flag("--version", IM_VERSION);
}

CLI::Option* Config::Prepare(CLI::Option* option, const std::string& key) {
  return option->capture_default_str()->envname(EnvironmentName(key));
}

std::optional<int> Config::Parse(int argc, char** argv) {
  if (const std::string word = FindPassword(argc, argv); !word.empty()) {
    std::cerr << app_.get_name() << ": " << PasswordAdvice(word) << "\n";
    return kExitUsage;
  }
  // Checked by us: --print-config and subcommands do without.
  std::vector<CLI::Option*> required;
  for (CLI::Option* option : app_.get_options()) {
    if (!option->get_required()) continue;
    option->required(false);
    required.push_back(option);
  }
  try {
    app_.parse(argc, argv);
  } catch (const CLI::ConfigError& e) {
    std::string what = e.what();
    if (what.rfind(kUnknownKey, 0) == 0) {
      what = "unknown key " + what.substr(std::strlen(kUnknownKey));
    }
    std::cerr << app_.get_name() << ": " << app_.get_option("--config")->as<std::string>() << ": "
              << what << "\n";
    return kExitUsage;
  } catch (const CLI::ParseError& e) {
    return ReportUsage(app_, e);
  }
  if (print_config_) {
    std::cout << app_.config_to_str(true, true);
    return 0;
  }
  if (!app_.get_subcommands().empty()) return std::nullopt;
  for (const CLI::Option* option : required) {
    if (option->count() > 0) continue;
    const std::string& key = option->get_lnames().front();
    std::cerr << app_.get_name() << ": " << key << " is required: set it in the file, as "
              << EnvironmentName(key) << " or as --" << key << "\n";
    return kExitUsage;
  }
  return std::nullopt;
}

void AddLoggingOptions(Config* config, LoggingOptions* options) {
  config->Add("logging.level", &options->level, "Least level that is logged.")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  config->Add("logging.format", &options->format, "text, or json: one object a line.")
      ->check(CLI::IsMember({"text", "json"}));
}

void AddMetricsOptions(Config* config, MetricsOptions* options) {
  config->Add("metrics.listen", &options->listen,
              "Address for Prometheus metrics over HTTP, e.g. 127.0.0.1:9101; empty: none.");
}

void AddServerOptions(Config* config, ServerOptions* options) {
  config
      ->Add("server.listen", &options->listen,
            "Address to listen on: unix:/path, or HOST:PORT (which needs mutual TLS).")
      ->required();
  config->Add("server.tls_certificate", &options->tls_certificate, "PEM file of the certificate.");
  config->Add("server.tls_key", &options->tls_key, "PEM file of the private key.");
  config->Add("server.tls_client_ca", &options->tls_client_ca,
              "PEM file of the CA whose certificates callers must show.");
}

void InitLog(const LoggingOptions& options, const std::string& service) {
  static const std::map<std::string, LogLevel> kLevels = {{"debug", LogLevel::kDebug},
                                                          {"info", LogLevel::kInfo},
                                                          {"warning", LogLevel::kWarning},
                                                          {"error", LogLevel::kError}};
  InitLog(LogOptions{kLevels.at(options.level), options.format == "json", service});
}

}  // namespace im
