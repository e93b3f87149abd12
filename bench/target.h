// The system that is measured.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace im::bench {

struct TargetOptions {
  // HOST:PORT or "unix:/path"; empty: the gateway of the set-up in IM_HOME, with ca_file its port
  // for TLS.
  std::string connect;
  // PostgreSQL URL, to seed accounts; empty: of the set-up in IM_HOME, if that is what is measured.
  std::string database;
  // PEM file of the authorities to trust, for a gateway with TLS; empty: plaintext.
  std::string ca_file;
};

struct Target {
  std::string address;
  // Empty: accounts are made by Register, which takes as long as their passwords take to hash.
  std::string database_url;
  // The set-up's folder, if that is what is measured.
  std::string home;
  // Empty: plaintext.
  std::string ca_file;
  // Whether connections take up the TLS sessions of those before.
  bool resume_tls = false;
};

absl::StatusOr<Target> FindTarget(const TargetOptions& options);

// What a service of the set-up is configured to ("section.name"); empty if that is not what is
// measured, or the service's own default.
absl::StatusOr<std::string> SettingOf(const Target& target, const std::string& service,
                                      const std::string& key);

}  // namespace im::bench
