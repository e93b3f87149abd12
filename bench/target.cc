#include "bench/target.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace im::bench {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  text = text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    text = text.substr(1, text.size() - 2);
  }
  return text;
}

}  // namespace

std::string ConfiguredValue(std::string_view text, std::string_view section, std::string_view key) {
  std::string_view current;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = Trim(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[' && line.back() == ']') {
      current = line.substr(1, line.size() - 2);
      continue;
    }
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos || current != section) continue;
    if (Trim(line.substr(0, equals)) == key) return std::string(Trim(line.substr(equals + 1)));
  }
  return {};
}

std::string SettingOf(const Target& target, const std::string& service, std::string_view section,
                      std::string_view key) {
  if (target.home.empty()) return {};
  return ConfiguredValue(ReadFile(absl::StrCat(target.home, "/etc/", service, ".conf")), section,
                         key);
}

absl::StatusOr<Target> FindTarget(const TargetOptions& options) {
  const char* home_variable = std::getenv("IM_HOME");
  const std::string home = home_variable == nullptr ? ".im" : home_variable;
  const std::string here = ConfiguredValue(ReadFile(home + "/etc/gateway.conf"), "server",
                                           options.ca_file.empty() ? "listen" : "tls_listen");
  Target target;
  target.address = options.connect.empty() ? here : options.connect;
  if (target.address.empty()) {
    if (!options.ca_file.empty() &&
        !ConfiguredValue(ReadFile(home + "/etc/gateway.conf"), "server", "listen").empty()) {
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
    target.database_url = ConfiguredValue(ReadFile(home + "/etc/owner.conf"), "database", "url");
  }
  return target;
}

}  // namespace im::bench
