#include "services/auth/services.h"

#include <google/protobuf/util/time_util.h>

#include "common/base/error.h"
#include "im/auth/v1/accounts.pb.h"

namespace im::auth {
namespace {

using google::protobuf::util::TimeUtil;
using rpc::Access;
using rpc::Caller;

constexpr char kAccounts[] = "im.auth.v1.AccountService";
constexpr char kDevices[] = "im.auth.v1.DeviceService";
constexpr char kKeys[] = "im.auth.v1.KeyService";

google::protobuf::Timestamp ToProto(Time time) {
  return TimeUtil::MicrosecondsToTimestamp(ToMicros(time));
}

v1::Profile ToProto(const Profile& profile) {
  v1::Profile proto;
  proto.set_user_id(profile.user_id);
  proto.set_user_name(profile.user_name);
  proto.set_display_name(profile.display_name);
  proto.set_bio(profile.bio);
  return proto;
}

v1::Tokens ToProto(const TokenPair& tokens) {
  v1::Tokens proto;
  proto.set_access_token(tokens.access_token);
  *proto.mutable_access_expires_at() = ToProto(tokens.access_expires_at);
  proto.set_refresh_token(tokens.refresh_token);
  *proto.mutable_refresh_expires_at() = ToProto(tokens.refresh_expires_at);
  proto.set_device_id(tokens.device_id);
  return proto;
}

DeviceDescription FromProto(const v1::DeviceDescription& proto) {
  return {proto.name(), proto.platform()};
}

template <typename T, typename Field>
std::vector<T> ToVector(const Field& field) {
  return std::vector<T>(field.begin(), field.end());
}

void AddPasswordMethods(const Parts& parts, rpc::Router* router) {
  const std::string service = std::string(kAccounts) + "/";
  router->Unary<v1::RegisterRequest, v1::RegisterResponse>(
      service + "Register", Access::kPublic,
      [logins = parts.logins](const Caller&, const v1::RegisterRequest& request)
          -> absl::StatusOr<v1::RegisterResponse> {
        IM_ASSIGN_OR_RETURN(
            const Admission admission,
            logins->Register({request.user_name(), request.password(), request.display_name(),
                              FromProto(request.device())}));
        v1::RegisterResponse response;
        *response.mutable_profile() = ToProto(admission.profile);
        *response.mutable_tokens() = ToProto(admission.tokens);
        return response;
      },
      parts.password_workers);
  router->Unary<v1::LogInRequest, v1::LogInResponse>(
      service + "LogIn", Access::kPublic,
      [logins = parts.logins](
          const Caller&, const v1::LogInRequest& request) -> absl::StatusOr<v1::LogInResponse> {
        IM_ASSIGN_OR_RETURN(
            const Admission admission,
            logins->LogIn(request.user_name(), request.password(), FromProto(request.device())));
        v1::LogInResponse response;
        *response.mutable_profile() = ToProto(admission.profile);
        *response.mutable_tokens() = ToProto(admission.tokens);
        return response;
      },
      parts.password_workers);
  router->Unary<v1::ChangePasswordRequest, v1::ChangePasswordResponse>(
      service + "ChangePassword", Access::kUser,
      [logins = parts.logins](const Caller& caller, const v1::ChangePasswordRequest& request)
          -> absl::StatusOr<v1::ChangePasswordResponse> {
        IM_RETURN_IF_ERROR(logins->ChangePassword(caller.user_id(), caller.device_id(),
                                                  request.current_password(),
                                                  request.new_password()));
        return v1::ChangePasswordResponse();
      },
      parts.password_workers);
}

void AddProfileMethods(const Parts& parts, rpc::Router* router) {
  const std::string service = std::string(kAccounts) + "/";
  router->Unary<v1::GetProfileRequest, v1::GetProfileResponse>(
      service + "GetProfile", Access::kUser,
      [profiles = parts.profiles](const Caller& caller, const v1::GetProfileRequest&)
          -> absl::StatusOr<v1::GetProfileResponse> {
        IM_ASSIGN_OR_RETURN(const Profile profile, profiles->Get(caller.user_id()));
        v1::GetProfileResponse response;
        *response.mutable_profile() = ToProto(profile);
        return response;
      });
  router->Unary<v1::UpdateProfileRequest, v1::UpdateProfileResponse>(
      service + "UpdateProfile", Access::kUser,
      [profiles = parts.profiles](const Caller& caller, const v1::UpdateProfileRequest& request)
          -> absl::StatusOr<v1::UpdateProfileResponse> {
        std::optional<std::string> display_name, bio;
        if (request.has_display_name()) display_name = request.display_name();
        if (request.has_bio()) bio = request.bio();
        IM_ASSIGN_OR_RETURN(const Profile profile,
                            profiles->Update(caller.user_id(), display_name, bio));
        v1::UpdateProfileResponse response;
        *response.mutable_profile() = ToProto(profile);
        return response;
      });
  router->Unary<v1::LookUpProfilesRequest, v1::LookUpProfilesResponse>(
      service + "LookUpProfiles", Access::kUser,
      [profiles = parts.profiles](const Caller&, const v1::LookUpProfilesRequest& request)
          -> absl::StatusOr<v1::LookUpProfilesResponse> {
        IM_ASSIGN_OR_RETURN(const std::vector<Profile> found,
                            profiles->LookUp(ToVector<std::string>(request.user_names()),
                                             ToVector<int64_t>(request.user_ids())));
        v1::LookUpProfilesResponse response;
        for (const Profile& profile : found) *response.add_profiles() = ToProto(profile);
        return response;
      });
}

void AddDeviceMethods(const Parts& parts, rpc::Router* router) {
  router->Unary<v1::RefreshRequest, v1::RefreshResponse>(
      std::string(kAccounts) + "/Refresh", Access::kPublic,
      [devices = parts.devices](
          const Caller&, const v1::RefreshRequest& request) -> absl::StatusOr<v1::RefreshResponse> {
        IM_ASSIGN_OR_RETURN(const TokenPair tokens, devices->Refresh(request.refresh_token()));
        v1::RefreshResponse response;
        *response.mutable_tokens() = ToProto(tokens);
        return response;
      });
  router->Unary<v1::LogOutRequest, v1::LogOutResponse>(
      std::string(kAccounts) + "/LogOut", Access::kUser,
      [devices = parts.devices](const Caller& caller,
                                const v1::LogOutRequest&) -> absl::StatusOr<v1::LogOutResponse> {
        IM_RETURN_IF_ERROR(devices->End(caller.user_id(), caller.device_id()).status());
        return v1::LogOutResponse();
      });
  router->Unary<v1::ListDevicesRequest, v1::ListDevicesResponse>(
      std::string(kDevices) + "/ListDevices", Access::kUser,
      [devices = parts.devices](const Caller& caller, const v1::ListDevicesRequest& request)
          -> absl::StatusOr<v1::ListDevicesResponse> {
        IM_ASSIGN_OR_RETURN(
            const DevicePage page,
            devices->List(caller.user_id(), request.page_size(), request.page_token()));
        v1::ListDevicesResponse response;
        for (const Device& device : page.devices) {
          auto* proto = response.add_devices();
          proto->set_device_id(device.device_id);
          proto->mutable_description()->set_name(device.description.name);
          proto->mutable_description()->set_platform(device.description.platform);
          *proto->mutable_logged_in_at() = ToProto(device.logged_in_at);
          *proto->mutable_last_used_at() = ToProto(device.last_used_at);
          proto->set_current(device.device_id == caller.device_id());
        }
        response.set_next_page_token(page.next_page_token);
        return response;
      });
  router->Unary<v1::RevokeDevicesRequest, v1::RevokeDevicesResponse>(
      std::string(kDevices) + "/RevokeDevices", Access::kUser,
      [devices = parts.devices](const Caller& caller, const v1::RevokeDevicesRequest& request)
          -> absl::StatusOr<v1::RevokeDevicesResponse> {
        v1::RevokeDevicesResponse response;
        if (request.has_device_id()) {
          IM_ASSIGN_OR_RETURN(const int revoked,
                              devices->End(caller.user_id(), request.device_id()));
          response.set_revoked(revoked);
        } else if (request.all_others()) {
          IM_ASSIGN_OR_RETURN(const int revoked,
                              devices->EndOthers(caller.user_id(), caller.device_id()));
          response.set_revoked(revoked);
        } else {
          return InvalidField("which", "neither device_id nor all_others");
        }
        return response;
      });
}

void AddKeyMethods(const Parts& parts, rpc::Router* router) {
  router->Unary<v1::GetKeysRequest, v1::GetKeysResponse>(
      std::string(kKeys) + "/GetKeys", Access::kPublic,
      [keys = parts.keys](const Caller&,
                          const v1::GetKeysRequest&) -> absl::StatusOr<v1::GetKeysResponse> {
        v1::GetKeysResponse response;
        IM_ASSIGN_OR_RETURN(*response.mutable_jwks_json(), keys->KeySet());
        response.set_max_age_seconds(static_cast<int32_t>(kKeySetMaxAge.count()));
        return response;
      });
}

// Reached by our own processes only: the gateway does not offer im.internal.v1.
void AddDirectoryMethods(const Parts& parts, rpc::Router* router) {
  router->Unary<internal::v1::FindUsersRequest, internal::v1::FindUsersResponse>(
      "im.internal.v1.DirectoryService/FindUsers", Access::kPublic,
      [profiles = parts.profiles](const Caller&, const internal::v1::FindUsersRequest& request)
          -> absl::StatusOr<internal::v1::FindUsersResponse> {
        IM_ASSIGN_OR_RETURN(const std::vector<int64_t> ids,
                            profiles->Existing(ToVector<int64_t>(request.user_ids())));
        internal::v1::FindUsersResponse response;
        response.mutable_user_ids()->Add(ids.begin(), ids.end());
        return response;
      });
  router->Unary<internal::v1::MatchUsersRequest, internal::v1::MatchUsersResponse>(
      "im.internal.v1.DirectoryService/MatchUsers", Access::kPublic,
      [profiles = parts.profiles](const Caller&, const internal::v1::MatchUsersRequest& request)
          -> absl::StatusOr<internal::v1::MatchUsersResponse> {
        IM_ASSIGN_OR_RETURN(
            const std::vector<int64_t> ids,
            profiles->Matching(ToVector<int64_t>(request.user_ids()), request.query()));
        internal::v1::MatchUsersResponse response;
        response.mutable_user_ids()->Add(ids.begin(), ids.end());
        return response;
      });
}

}  // namespace

void AddServices(const Parts& parts, rpc::Router* router) {
  AddPasswordMethods(parts, router);
  AddProfileMethods(parts, router);
  AddDeviceMethods(parts, router);
  AddKeyMethods(parts, router);
  AddDirectoryMethods(parts, router);
  router->Serve({kAccounts, kDevices, kKeys});
}

}  // namespace im::auth
