// What calls have their connection say.
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/http2/connection.h"
#include "gateway/http2/grpc_wire.h"

namespace im::gateway::http2 {
namespace {

// Of constants, and of what lives until the call that takes it returns, which copies.
nghttp2_nv Header(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

ssize_t TakeData(nghttp2_session* session, int32_t id, uint8_t* bytes, size_t size, uint32_t* flags,
                 nghttp2_data_source*, void*) {
  auto* const call = static_cast<Call*>(nghttp2_session_get_stream_user_data(session, id));
  if (call == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  Call::After after = Call::After::kMore;
  const size_t taken = call->TakeData(bytes, size, &after);
  if (after != Call::After::kMore) *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (after == Call::After::kTrailers) *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
  if (taken == 0 && after == Call::After::kMore) return NGHTTP2_ERR_DEFERRED;
  return static_cast<ssize_t>(taken);
}

}  // namespace

void Connection::SubmitHeaders(int32_t id, const nghttp2_nv* headers, size_t count, bool data) {
  nghttp2_data_provider provider{};
  provider.read_callback = TakeData;
  nghttp2_submit_response(session_, id, headers, count, data ? &provider : nullptr);
  WriteSoon();
}

void Connection::Respond(int32_t id, const grpc::Status* only, Metadata metadata) {
  const Metadata more = EncodeMetadata(std::move(metadata));
  std::vector<nghttp2_nv> headers = {Header(":status", "200"),
                                     Header("content-type", "application/grpc"),
                                     Header("grpc-accept-encoding", kAcceptedEncodings)};
  const auto trailers =
      only == nullptr ? std::vector<std::pair<std::string, std::string>>() : Trailers(*only);
  for (const auto& [name, value] : trailers) headers.push_back(Header(name, value));
  for (const auto& [name, value] : more) headers.push_back(Header(name, value));
  SubmitHeaders(id, headers.data(), headers.size(), only == nullptr);
}

void Connection::RespondHttp(int32_t id, int http_status) {
  const std::string status = absl::StrCat(http_status);
  const nghttp2_nv headers[] = {Header(":status", status), Header("content-type", "text/plain")};
  SubmitHeaders(id, headers, std::size(headers), true);
}

void Connection::ResumeData(int32_t id) {
  nghttp2_session_resume_data(session_, id);
  WriteSoon();
}

void Connection::SendTrailers(int32_t id, const grpc::Status& status, Metadata metadata) {
  const auto trailers = Trailers(status);
  const Metadata more = EncodeMetadata(std::move(metadata));
  std::vector<nghttp2_nv> headers;
  for (const auto& [name, value] : trailers) headers.push_back(Header(name, value));
  for (const auto& [name, value] : more) headers.push_back(Header(name, value));
  nghttp2_submit_trailer(session_, id, headers.data(), headers.size());
}

void Connection::Consume(int32_t id, size_t bytes) {
  if (bytes == 0) return;
  nghttp2_session_consume_stream(session_, id, bytes);
  WriteSoon();
}

void Connection::Reset(int32_t id) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  WriteSoon();
}

}  // namespace im::gateway::http2
