// A key pair of the fuzz targets' own, fixed so that the corpus holds tokens which are signed. It
// opens nothing.
#pragma once

namespace im::fuzz {

inline constexpr char kKeyId[] = "fuzz";

inline constexpr char kPrivatePem[] = R"(-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCMQZcNB5ywEOU59t
VKcAVAXmUv9ZJnfyYh9pZgsTPeahRANCAARQjB8TULTZ/Day0bPbhx/DzzB4xYlU
0woDH6gwuoCWCkjyH9nfsnhvIFXPCuiNJfEYU9fnKWxJJBtUjSMIgwWh
-----END PRIVATE KEY-----
)";

inline constexpr char kPublicPem[] = R"(-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUIwfE1C02fw2stGz24cfw88weMWJ
VNMKAx+oMLqAlgpI8h/Z37J4byBVzwrojSXxGFPX5ylsSSQbVI0jCIMFoQ==
-----END PUBLIC KEY-----
)";

// The one token of the corpus that is good: of this user and device, until then. The clock of the
// targets stands before that.
inline constexpr long kUserId = 7;
inline constexpr long kDeviceId = 8;
inline constexpr long kNow = 1'700'000'000;
inline constexpr long kExpiresAt = kNow + 900;

}  // namespace im::fuzz
