// The statuses that a person can choose.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "im/presence/v1/presence.pb.h"

namespace im::imctl {

inline presence::v1::Status StatusOf(const std::string& name) {
  return name == "away"        ? presence::v1::STATUS_AWAY
         : name == "busy"      ? presence::v1::STATUS_BUSY
         : name == "invisible" ? presence::v1::STATUS_INVISIBLE
                               : presence::v1::STATUS_ONLINE;
}

inline CLI::IsMember IsStatus() { return CLI::IsMember({"online", "away", "busy", "invisible"}); }

inline void AddStatusOption(CLI::App* command, std::string* status) {
  command->add_option("--status", *status, "online, away, busy or invisible while connected")
      ->check(IsStatus());
}

}  // namespace im::imctl
