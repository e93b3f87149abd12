#include "bench/target.h"

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/base/config_file.h"
#include "common/base/error.h"

namespace im::bench {
namespace {

// Empty: the file or the key is not there.
absl::StatusOr<std::string> SettingIn(const std::string& home, const std::string& service,
                                      const std::string& key) {
  const std::string path = absl::StrCat(home, "/etc/", service, ".conf");
  std::ifstream file(path);
  const auto entries = ReadConfigFile(file);
  if (!entries.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", entries.status().message()));
  }
  for (const ConfigEntry& entry : *entries) {
    if (entry.key == key) return entry.value;
  }
  return "";
}

}  // namespace

absl::StatusOr<std::string> SettingOf(const Target& target, const std::string& service,
                                      const std::string& key) {
  if (target.home.empty()) return "";
  return SettingIn(target.home, service, key);
}

absl::StatusOr<Target> FindTarget(const TargetOptions& options) {
  const char* home_variable = std::getenv("IM_HOME");
  const std::string home = home_variable == nullptr ? ".im" : home_variable;
  IM_ASSIGN_OR_RETURN(const std::string plaintext, SettingIn(home, "gateway", "server.listen"));
  IM_ASSIGN_OR_RETURN(const std::string tls, SettingIn(home, "gateway", "server.tls_listen"));
  const std::string& here = options.ca_file.empty() ? plaintext : tls;
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
    IM_ASSIGN_OR_RETURN(target.database_url, SettingIn(home, "owner", "database.url"));
  }
  return target;
}

}  // namespace im::bench
