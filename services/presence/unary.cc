#include "services/presence/unary.h"

#include "common/base/error.h"
#include "im/presence/v1/presence.pb.h"
#include "services/presence/wire.h"

namespace im::presence {
namespace {

constexpr int kMostAsked = 500;

absl::StatusOr<v1::SetStatusResponse> SetStatus(PresenceServer* presence, const rpc::Caller& caller,
                                                const v1::SetStatusRequest& request) {
  IM_ASSIGN_OR_RETURN(const Status status, ParseStatus(request.status()));
  IM_RETURN_IF_ERROR(presence->SetStatus(caller.user_id(), caller.device_id(), status));
  return v1::SetStatusResponse();
}

absl::StatusOr<v1::GetPresenceResponse> GetPresence(PresenceServer* presence,
                                                    const rpc::Caller& caller,
                                                    const v1::GetPresenceRequest& request) {
  if (request.user_ids_size() > kMostAsked) return InvalidField("user_ids", "at most 500");
  const std::vector<UserId> users(request.user_ids().begin(), request.user_ids().end());
  IM_ASSIGN_OR_RETURN(const std::vector<PresenceServer::Answer> answers,
                      presence->See(caller.user_id(), users));
  v1::GetPresenceResponse response;
  for (size_t i = 0; i < users.size(); ++i) {
    *response.add_presences() = ToProto(users[i], answers[i].status, answers[i].last_seen);
  }
  return response;
}

}  // namespace

void AddPresenceService(rpc::Router* router, PresenceServer* presence) {
  router->Unary<v1::SetStatusRequest, v1::SetStatusResponse>(
      "im.presence.v1.PresenceService/SetStatus", rpc::Access::kUser,
      [presence](const rpc::Caller& caller, const v1::SetStatusRequest& request) {
        return SetStatus(presence, caller, request);
      });
  router->Unary<v1::GetPresenceRequest, v1::GetPresenceResponse>(
      "im.presence.v1.PresenceService/GetPresence", rpc::Access::kUser,
      [presence](const rpc::Caller& caller, const v1::GetPresenceRequest& request) {
        return GetPresence(presence, caller, request);
      });
}

}  // namespace im::presence
