// im-auth's RPCs: who calls, parse, do, answer. The rules are in Logins, Devices and Profiles.
#pragma once

#include "common/base/workers.h"
#include "common/rpc/router.h"
#include "im/internal/v1/services.grpc.pb.h"
#include "services/auth/devices.h"
#include "services/auth/key_ring.h"
#include "services/auth/logins.h"
#include "services/auth/profiles.h"
#include "services/auth/revocation_feed.h"

namespace im::auth {

// What the RPCs work on; nothing is owned.
struct Parts {
  Logins* logins = nullptr;
  Devices* devices = nullptr;
  Profiles* profiles = nullptr;
  const KeyRing* keys = nullptr;
  // Bounds how many passwords are hashed at once, and how many wait for it.
  Workers* password_workers = nullptr;
};

// AccountService, DeviceService, KeyService, and the unary methods of DirectoryService.
void AddServices(const Parts& parts, rpc::Router* router);

// DirectoryService's stream; its unary methods go to the router.
class DirectoryService
    : public internal::v1::DirectoryService::WithGenericMethod_FindUsers<
          internal::v1::DirectoryService::WithGenericMethod_MatchUsers<
              internal::v1::DirectoryService::WithCallbackMethod_WatchRevocations<
                  internal::v1::DirectoryService::Service>>> {
 public:
  // Not owned.
  explicit DirectoryService(RevocationFeed* feed) : feed_(feed) {}

  grpc::ServerWriteReactor<internal::v1::WatchRevocationsResponse>* WatchRevocations(
      grpc::CallbackServerContext* context,
      const internal::v1::WatchRevocationsRequest* request) override;

 private:
  RevocationFeed* const feed_;
};

}  // namespace im::auth
