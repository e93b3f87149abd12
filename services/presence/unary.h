// im.presence.v1.PresenceService.
#pragma once

#include "common/rpc/router.h"
#include "services/presence/presence_server.h"

namespace im::presence {

inline constexpr char kPresenceService[] = "im.presence.v1.PresenceService";

// `presence` must outlive the router.
void AddPresenceService(rpc::Router* router, PresenceServer* presence);

}  // namespace im::presence
