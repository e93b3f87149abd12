#include "bench/target.h"

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/base/config_file.h"
#include "common/base/error.h"

namespace im::bench {
namespace {

// None, if the file is not there.
absl::StatusOr<ConfigValues> ReadSettings(const std::string& home, const std::string& service) {
  const std::string path = absl::StrCat(home, "/etc/", service, ".conf");
  std::ifstream file(path);
  auto settings = ReadConfigFile(file);
  if (settings.ok()) return settings;
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", settings.status().message()));
}

// Empty: it is not set.
std::string ValueOf(const ConfigValues& settings, const std::string& key) {
  const auto at = settings.find(key);
  return at == settings.end() ? "" : at->second;
}

}  // namespace

absl::StatusOr<std::string> SettingOf(const Target& target, const std::string& service,
                                      const std::string& key) {
  if (target.home.empty()) return "";
  IM_ASSIGN_OR_RETURN(const ConfigValues settings, ReadSettings(target.home, service));
  return ValueOf(settings, key);
}

absl::StatusOr<Target> FindTarget(const TargetOptions& options) {
  const char* home_variable = std::getenv("IM_HOME");
  const std::string home = home_variable == nullptr ? ".im" : home_variable;
  IM_ASSIGN_OR_RETURN(const ConfigValues gateway, ReadSettings(home, "gateway"));
  const std::string plaintext = ValueOf(gateway, "server.listen");
  const std::string here =
      options.ca_file.empty() ? plaintext : ValueOf(gateway, "server.tls_listen");
  Target target;
  target.address = options.connect.empty() ? here : options.connect;
  if (target.address.empty()) {
    if (!options.ca_file.empty() && !plaintext.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the set-up in ", home,
                       " has no port for TLS: set tls_listen in its etc/gateway.conf, or leave out "
                       "--ca"));
    }
    return absl::NotFoundError(
        absl::StrCat("there is no set-up in ", home,
                     ": start one with ./im up, or name a gateway by --connect"));
  }
  target.database_url = options.database;
  target.ca_file = options.ca_file;
  if (target.address == here) target.home = home;
  if (target.database_url.empty() && target.address == here) {
    IM_ASSIGN_OR_RETURN(const ConfigValues owner, ReadSettings(home, "owner"));
    target.database_url = ValueOf(owner, "database.url");
  }
  return target;
}

}  // namespace im::bench
