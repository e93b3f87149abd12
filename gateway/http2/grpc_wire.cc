#include "gateway/http2/grpc_wire.h"

#include <zlib.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace im::gateway::http2 {

void PutPrefix(size_t message_bytes, uint8_t* prefix) {
  prefix[0] = 0;
  for (int i = 0; i < 4; ++i) prefix[1 + i] = static_cast<uint8_t>(message_bytes >> (24 - 8 * i));
}

bool IsGrpc(std::string_view content_type) {
  constexpr std::string_view kType = "application/grpc";
  if (content_type.substr(0, kType.size()) != kType) return false;
  content_type.remove_prefix(kType.size());
  return content_type.empty() || content_type.front() == '+' || content_type.front() == ';';
}

std::optional<std::chrono::nanoseconds> ParseTimeout(std::string_view text) {
  // At most eight digits and a unit.
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  int64_t value = 0;
  for (const char digit : text.substr(0, text.size() - 1)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    value = value * 10 + (digit - '0');
  }
  switch (text.back()) {
    case 'H':
      return std::chrono::hours(std::min<int64_t>(value, 1'000'000));
    case 'M':
      return std::chrono::minutes(value);
    case 'S':
      return std::chrono::seconds(value);
    case 'm':
      return std::chrono::milliseconds(value);
    case 'u':
      return std::chrono::microseconds(value);
    case 'n':
      return std::chrono::nanoseconds(value);
    default:
      return std::nullopt;
  }
}

std::string PercentEncode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '%') {
      encoded.push_back(c);
      continue;
    }
    const auto byte = static_cast<uint8_t>(c);
    encoded.append({'%', kHex[byte >> 4], kHex[byte & 15]});
  }
  return encoded;
}

namespace {

bool IsBinary(std::string_view name) { return name.ends_with("-bin"); }

}  // namespace

bool IsMetadata(std::string_view name) {
  for (const char* own : {":", "grpc-", "x-im-"}) {
    if (name.starts_with(own)) return false;
  }
  for (const char* own :
       {"te", "content-type", "content-length", "user-agent", "accept-encoding", "host"}) {
    if (name == own) return false;
  }
  return true;
}

bool DecodeMetadata(Metadata* metadata) {
  const auto good_name = [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-' || c == '_' || c == '.';
  };
  const auto good_value = [](char c) { return c >= ' ' && c <= '~'; };
  Metadata decoded;
  for (auto& [name, value] : *metadata) {
    if (!std::all_of(name.begin(), name.end(), good_name)) return false;
    if (!IsBinary(name)) {
      if (!std::all_of(value.begin(), value.end(), good_value)) return false;
      decoded.emplace_back(std::move(name), std::move(value));
      continue;
    }
    // Several values may have been joined on the way.
    for (const absl::string_view part : absl::StrSplit(value, ',')) {
      std::string bytes;
      if (!absl::Base64Unescape(part, &bytes)) return false;
      decoded.emplace_back(name, std::move(bytes));
    }
  }
  *metadata = std::move(decoded);
  return true;
}

Metadata EncodeMetadata(Metadata metadata) {
  for (auto& [name, value] : metadata) {
    if (IsBinary(name)) value = absl::Base64Escape(value);
  }
  return metadata;
}

std::vector<std::pair<std::string, std::string>> Trailers(const grpc::Status& status) {
  std::vector<std::pair<std::string, std::string>> trailers;
  trailers.emplace_back("grpc-status", absl::StrCat(static_cast<int>(status.error_code())));
  if (!status.error_message().empty()) {
    trailers.emplace_back("grpc-message", PercentEncode(status.error_message()));
  }
  if (!status.error_details().empty()) {
    trailers.emplace_back("grpc-status-details-bin", absl::Base64Escape(status.error_details()));
  }
  return trailers;
}

std::optional<std::string> Inflate(std::string_view compressed, size_t max_bytes) {
  z_stream stream{};
  // zlib finds out by itself which of the two formats it is.
  if (inflateInit2(&stream, 15 + 32) != Z_OK) return std::nullopt;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  std::string bytes;
  int result = Z_OK;
  while (result == Z_OK && bytes.size() <= max_bytes) {
    const size_t before = bytes.size();
    bytes.resize(before + std::min<size_t>(max_bytes + 1 - before, 16 << 10));
    stream.next_out = reinterpret_cast<Bytef*>(bytes.data() + before);
    stream.avail_out = static_cast<uInt>(bytes.size() - before);
    result = inflate(&stream, Z_NO_FLUSH);
    bytes.resize(bytes.size() - stream.avail_out);
    if (bytes.size() == before && result == Z_OK) break;
  }
  inflateEnd(&stream);
  if (result != Z_STREAM_END || bytes.size() > max_bytes) return std::nullopt;
  return bytes;
}

void MessageReader::Append(std::string_view bytes) {
  // Once for all messages that came together, not for each.
  bytes_.erase(0, std::exchange(first_, 0));
  bytes_.append(bytes);
}

MessageReader::Next MessageReader::Read(std::string* message) {
  const size_t there = bytes_.size() - first_;
  if (there < kPrefixBytes) return Next::kIncomplete;
  const auto at = [&](size_t i) {
    return static_cast<size_t>(static_cast<uint8_t>(bytes_[first_ + i]));
  };
  if (at(0) > 1) return Next::kMalformed;
  const size_t size = at(1) << 24 | at(2) << 16 | at(3) << 8 | at(4);
  if (size > max_) return Next::kTooLarge;
  const Next whole = at(0) == 1 ? Next::kCompressed : Next::kMessage;
  if (there < kPrefixBytes + size) return Next::kIncomplete;
  if (first_ == 0 && there == kPrefixBytes + size) {
    // As a rule: the buffer becomes the message.
    *message = std::move(bytes_);
    message->erase(0, kPrefixBytes);
  } else {
    message->assign(bytes_, first_ + kPrefixBytes, size);
    first_ += kPrefixBytes + size;
    if (!empty()) return whole;
  }
  Clear();
  return whole;
}

void MessageReader::Clear() {
  // Nothing is left, and no memory kept for it.
  bytes_ = std::string();
  first_ = 0;
}

}  // namespace im::gateway::http2
