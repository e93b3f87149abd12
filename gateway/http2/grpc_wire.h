// What gRPC says within HTTP/2: PROTOCOL-HTTP2.md of the grpc repository.
#pragma once

#include <grpcpp/support/status.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/door.h"

namespace im::gateway::http2 {

// Before each message: whether it is compressed, and its length.
inline constexpr size_t kPrefixBytes = 5;
void PutPrefix(size_t message_bytes, uint8_t* prefix);

// Header "content-type": "application/grpc", and maybe which messages it carries. gRPC-Web is none.
bool IsGrpc(std::string_view content_type);

// Header "grpc-timeout": "5S", "100m". nullopt if it is none.
std::optional<std::chrono::nanoseconds> ParseTimeout(std::string_view text);

// Header "grpc-message".
std::string PercentEncode(std::string_view text);

// Whether a header of a request is metadata that may be passed on: not HTTP/2's, gRPC's or ours.
bool IsMetadata(std::string_view name);
// As it came, to what it means. false: it is none, and gRPC would not take it.
bool DecodeMetadata(Metadata* metadata);
// Back again.
Metadata EncodeMetadata(Metadata metadata);

// The headers that end a call.
std::vector<std::pair<std::string, std::string>> Trailers(const grpc::Status& status);

// Header "grpc-accept-encoding".
inline constexpr char kAcceptedEncodings[] = "identity,deflate,gzip";
// A compressed message. nullopt: it is none, or larger than that.
std::optional<std::string> Inflate(std::string_view compressed, size_t max_bytes);

// Cuts what arrives into messages. Not thread-safe.
class MessageReader {
 public:
  explicit MessageReader(size_t max_message_bytes) : max_(max_message_bytes) {}

  // kTooLarge, kMalformed: it is of no more use.
  enum class Next { kMessage, kCompressed, kIncomplete, kTooLarge, kMalformed };

  void Append(std::string_view bytes);
  Next Read(std::string* message);
  // What is held of messages that are not whole yet.
  size_t size() const { return bytes_.size() - first_; }
  void Clear();
  // Nothing of a message is left.
  bool empty() const { return bytes_.size() == first_; }

 private:
  const size_t max_;
  // From first_ on; what is before was read.
  std::string bytes_;
  size_t first_ = 0;
};

}  // namespace im::gateway::http2
