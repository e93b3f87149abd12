// seeds DIR: writes the seeds of the corpora below DIR that are protos, tokens or HTTP/2; those
// that are text are files of their own.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "common/base/page_token.h"
#include "common/token/issuer.h"
#include "im/gateway/v1/gateway.pb.h"
#include "tests/fuzz/token_key.h"

namespace im::fuzz {
namespace {

const std::string kRequestId(16, 'r');

std::filesystem::path g_dir;

void Write(const std::string& target, const std::string& name, const std::string& bytes) {
  std::filesystem::create_directories(g_dir / target);
  std::ofstream(g_dir / target / name, std::ios::binary) << bytes;
}

std::string Number(uint64_t number, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text.push_back(static_cast<char>(number >> (8 * i)));
  return text;
}

std::string Piece(const std::string& bytes) { return Number(bytes.size(), 2) + bytes; }

// Overlong: Protobuf's parsers do not agree on lengths in more than five bytes.
std::string Varint(uint64_t value, int least_bytes) {
  std::string text;
  for (int i = 1; value >= 0x80 || i < least_bytes; ++i, value >>= 7) {
    text.push_back(static_cast<char>(value | 0x80));
  }
  return text + static_cast<char>(value);
}

gateway::v1::ConnectRequest HelloFrame(presence::v1::Status status = presence::v1::STATUS_ONLINE) {
  gateway::v1::ConnectRequest frame;
  auto* const hello = frame.mutable_hello();
  hello->set_status(status);
  hello->mutable_have()->set_epoch(7);
  auto* const one = hello->mutable_have()->add_conversations();
  one->set_conversation_id(3);
  one->set_seq(12);
  return frame;
}

std::vector<gateway::v1::ConnectRequest> Calls() {
  std::vector<gateway::v1::ConnectRequest> frames(8);
  frames[0].set_call_id(1);
  auto* const send = frames[0].mutable_send_message();
  send->set_conversation_id(3);
  send->set_request_id(kRequestId);
  send->mutable_content()->mutable_text()->set_body("hello");
  frames[1].set_call_id(2);
  frames[1].mutable_mark_read()->set_conversation_id(3);
  frames[1].mutable_mark_read()->set_seq(12);
  frames[2].mutable_acknowledge_delivery()->set_conversation_id(3);
  frames[3].set_call_id(4);
  frames[3].mutable_set_typing()->set_typing(true);
  frames[4].set_call_id(5);
  frames[4].mutable_set_status()->set_status(presence::v1::STATUS_AWAY);
  frames[5].mutable_heartbeat();
  frames[6].set_call_id(6);
  frames[6].mutable_refresh_token()->set_access_token("alice");
  *frames[7].mutable_have() = HelloFrame().hello().have();
  return frames;
}

void WriteFrames() {
  const std::string hello = HelloFrame().SerializeAsString();
  Write("client_frame", "hello", hello);
  Write("client_frame", "hello_alone",
        HelloFrame(presence::v1::STATUS_BUSY).hello().SerializeAsString());
  Write("client_frame", "path", "/im.chat.v1.MessageService/SendMessage");
  Write("client_frame", "group", std::string("\x0b\x08\x01\x0c", 4));
  gateway::v1::SyncDeviceRequest sync;
  sync.set_session_id("0123456789ab-1");
  *sync.mutable_have() = HelloFrame().hello().have();
  Write("client_frame", "sync", sync.SerializeAsString());
  gateway::v1::SubscribeRequest subscribe;
  *subscribe.mutable_hello() = HelloFrame(presence::v1::STATUS_AWAY).hello();
  Write("client_frame", "subscribe", subscribe.SerializeAsString());
  Write("client_frame", "two_frames", hello + Calls()[0].SerializeAsString());

  const std::string subscribed("\x01", 1), quick("\x00", 1), slow("\x02", 1), cut("\x06", 1);
  std::string all = Piece(hello);
  int number = 0;
  for (const auto& call : Calls()) {
    const std::string bytes = call.SerializeAsString();
    Write("client_frame", "call" + std::to_string(number), bytes);
    Write("client_session", "call" + std::to_string(number), quick + Piece(hello) + Piece(bytes));
    all += Piece(bytes);
    ++number;
  }
  Write("client_session", "all", quick + all);
  Write("client_session", "all_slow", slow + all);
  Write("client_session", "all_cut", cut + all);
  Write("client_session", "subscribed", subscribed + Piece(subscribe.SerializeAsString()));
  Write("client_session", "no_hello", quick + Piece(Calls()[0].SerializeAsString()));
  Write("client_session", "two_hellos", quick + Piece(hello) + Piece(hello));
  Write("client_session", "offline",
        quick + Piece(HelloFrame(presence::v1::STATUS_OFFLINE).SerializeAsString()));
  Write("client_session", "unknown_frames",
        quick + Piece(hello) + Piece(std::string("\x08\x09", 2)) +
            Piece(std::string("\x08\x0a\x7a\x00", 4)) +
            Piece(std::string("\x08\x0b\xd2\x01\x00", 5)));
  gateway::v1::ConnectRequest large = Calls()[0];
  large.mutable_send_message()->mutable_content()->mutable_text()->set_body(std::string(5000, 'x'));
  Write("client_session", "too_large", quick + Piece(hello) + Piece(large.SerializeAsString()));
  std::string many = slow + Piece(hello);
  for (int i = 0; i < 20; ++i) many += Piece(Calls()[0].SerializeAsString());
  Write("client_session", "many_slow", many);
  gateway::v1::ConnectRequest other;
  other.set_call_id(1);
  other.mutable_refresh_token()->set_access_token("other device");
  Write("client_session", "other_device", quick + Piece(hello) + Piece(other.SerializeAsString()));
  Write("client_session", "broken_have",
        quick + Piece(hello) + Piece(std::string("\x1a\x02\x0a\x09", 4)));
}

// Content as these bytes, its length in at least so many.
std::string SendRequest(const std::string& content, int length_bytes = 1) {
  chat::v1::SendMessageRequest request;
  request.set_conversation_id(3);
  request.set_request_id(kRequestId);
  return request.SerializeAsString() + '\x1a' + Varint(content.size(), length_bytes) + content;
}

void WriteSendRequests() {
  const auto text = [](const std::string& body) {
    chat::v1::Content content;
    content.mutable_text()->set_body(body);
    return content.SerializeAsString();
  };
  Write("send_request", "text", SendRequest(text("hello")));
  Write("send_request", "unicode", SendRequest(text("h\u00e9\U0001f600")));
  Write("send_request", "not_utf8", SendRequest(text("\xff")));
  Write("send_request", "empty", SendRequest(text("")));
  Write("send_request", "other_kind", SendRequest("\x12\x01x"));
  Write("send_request", "two_kinds", SendRequest(text("a") + text("b")));
  Write("send_request", "unknown_fields",
        SendRequest(text("a") + std::string("\xa0\x06\x01\xaa\x06\x02xy\xa5\x06"
                                            "abcd",
                                            14)));
  Write("send_request", "group", SendRequest(text("a") + std::string("\xa3\x06\xa4\x06", 4)));
  const std::string body =
      "\x0a\x01"
      "a";
  Write("send_request", "long_length", SendRequest(text("a"), 6));
  Write("send_request", "long_length_of_text", SendRequest("\x0a" + Varint(3, 6) + body));
  Write("send_request", "long_length_of_body",
        SendRequest("\x0a\x09\x0a" + Varint(1, 7) + std::string("a", 1)));
  Write("send_request", "long_length_of_unknown",
        SendRequest(text("a") + "\xaa\x06" + Varint(1, 6) + "x"));
  Write("send_request", "long_tag", SendRequest(Varint(0x0a, 5) + "\x03" + body));
}

void WriteHaves() {
  const auto have = HelloFrame().hello().have();
  Write("have", "one", std::string(1, '\0') + have.SerializeAsString());
  chat::v1::Have twice = have;
  *twice.add_conversations() = have.conversations(0);
  twice.mutable_conversations(1)->set_seq(4);
  twice.add_conversations()->set_seq(INT64_MAX);
  twice.add_conversations()->set_conversation_id(-1);
  Write("have", "twice", std::string(1, '\0') + twice.SerializeAsString());
  // Last seq; stays (join, first, length); what was left out; have; newest and most.
  Write("have", "missing", std::string("\x01\x64\x00\x00\x00\x01\x01\x05\x01\x08\x04", 11));
  Write("have", "stays",
        std::string("\x01\x64\x02\x05\x02\x08\x20\x00\x04\x50\x03\x07\x00\x0a\x02"
                    "\x01\x04\x04",
                    18));
  Write("have", "far",
        std::string("\x01\x10\x00\x00\x00\x01\x01\x00\x10\xff\xff\xff\xff\xff\xff\xff"
                    "\x7f\x04\x04",
                    19));
}

void WriteTokens() {
  const auto at = [](long seconds) {
    return std::chrono::system_clock::time_point(std::chrono::seconds(seconds));
  };
  const auto token =
      token::Issue(kKeyId, kPrivatePem, {kUserId, kDeviceId, at(kNow), at(kExpiresAt)});
  if (token.ok())
    Write("access_token", "good",
          "\x02"
          "Bearer " +
              *token);
  Write("access_token", "issued",
        std::string(1, '\0') + Number(7, 8) + Number(8, 8) + Number(900, 4));
  Write("access_token", "expired",
        std::string(1, '\0') + Number(7, 8) + Number(8, 8) + Number(static_cast<uint32_t>(-6), 4));

  const std::vector<int64_t> place = {1, -1, INT64_MIN};
  const std::string head = Number(50, 4) + Piece("contacts:2,4");
  Write("page_token", "foreign", "\x30" + head + MakePageToken("contacts:2,4", place));
  Write("page_token", "first_page", "\x30" + head);
  Write("page_token", "own", "\x21" + head + Number(7, 8) + Number(9, 8));
}

std::string Http2Frame(int type, int flags, int stream, const std::string& payload) {
  std::string head;
  for (const int shift : {16, 8, 0}) head.push_back(static_cast<char>(payload.size() >> shift));
  head += {static_cast<char>(type), static_cast<char>(flags), 0, 0, 0, static_cast<char>(stream)};
  return head + payload;
}

const std::string kHttp2Authority = "\x01\x09localhost";

// POST, http, and a content type in HPACK that remembers nothing.
std::string Http2Headers(const std::string& path, const std::string& more = {}) {
  return "\x83\x86" + kHttp2Authority + "\x04" + static_cast<char>(path.size()) + path +
         "\x0f\x10\x10"
         "application/grpc" +
         more;
}

std::string Http2Header(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}

std::string GrpcMessage(const std::string& message) {
  return std::string(4, '\0') + static_cast<char>(message.size()) + message;
}

void WriteHttp2Connections() {
  constexpr int kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6, kGoAway = 7,
                kWindow = 8, kContinuation = 9;
  constexpr int kEndStream = 1, kEndHeaders = 4;
  const std::string preface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  const auto write = [](const std::string& name, char kind, const std::vector<std::string>& said) {
    std::string bytes(1, kind);
    for (const std::string& each : said) bytes += Piece(each);
    Write("http2_connection", name, bytes);
  };
  const auto call = [&](const std::string& path, const std::string& more = {}) {
    return Http2Frame(kHeaders, kEndHeaders, 1, Http2Headers(path, more));
  };
  const auto data = [&](const std::string& message, int flags = 0) {
    return Http2Frame(kData, flags, 1, GrpcMessage(message));
  };
  const std::string unary = call("/U") + data("hello", kEndStream);
  write("unary", 1, {unary});
  write("unary_and_all", 0, {preface + unary});
  write("unary_going_away", 5, {call("/U"), data("hello", kEndStream)});
  std::vector<std::string> bytes;
  for (const char c : preface + unary) bytes.emplace_back(1, c);
  write("unary_in_bytes", 0, bytes);
  write("unary_cancelled", 1, {call("/U"), data("Hold"), Http2Frame(kReset, 0, 1, {0, 0, 0, 8})});
  write("unary_timeout", 1, {call("/U", Http2Header("grpc-timeout", "1n")), data("Hold")});
  write("unary_two_messages", 1, {call("/U") + data("a") + data("b", kEndStream)});
  write("stream", 1, {call("/S"), data("a") + data("P"), data("b"), data("End")});
  write("stream_half_closed", 1, {call("/S"), data("a"), data("b", kEndStream)});
  write("stream_malformed", 1, {call("/S"), Http2Frame(kData, 0, 1, "\7nonsense")});
  write("stream_hung_up", 1, {call("/S"), data("a").substr(0, 12)});
  write("stream_refused", 1, {call("/N"), data("a")});
  const std::string metadata =
      Http2Header("x-a", "text") + Http2Header("x-b-bin", "AAH/") + Http2Header("te", "trailers");
  write("relay", 1, {call("/R", metadata), data("a"), data("", kEndStream)});
  write("no_grpc", 1,
        {Http2Frame(kHeaders, kEndHeaders | kEndStream, 1, "\x82\x84\x86" + kHttp2Authority)});
  const std::string headers = Http2Headers("/U");
  write("continuation", 1,
        {Http2Frame(kHeaders, 0, 1, headers.substr(0, 5)),
         Http2Frame(kContinuation, 0, 1, headers.substr(5, 4)),
         Http2Frame(kContinuation, kEndHeaders, 1, headers.substr(9)), data("a", kEndStream)});
  write("continuation_interrupted", 1,
        {Http2Frame(kHeaders, 0, 1, headers.substr(0, 5)), Http2Frame(kPing, 0, 0, "12345678")});
  write("ping", 1, {Http2Frame(kPing, 0, 0, "12345678")});
  std::string pings;
  for (int i = 0; i < 90; ++i) pings += Http2Frame(kPing, 0, 0, "12345678");
  write("ping_without_reading", 3, {pings, pings, pings, pings});
  // No table of headers, a window of three bytes, and then more.
  write("settings", 1,
        {Http2Frame(kSettings, 0, 0, std::string("\0\1\0\0\0\0\0\4\0\0\0\3", 12)), unary,
         Http2Frame(kWindow, 0, 1, {0, 0, 0, 99})});
  const std::string large(120, 'x');
  std::string many;
  for (int i = 0; i < 60; ++i) many += data(large);
  write("stream_without_reading", 3, {call("/S"), many, data("", kEndStream)});
  // Data of no stream is against the rules.
  write("stream_without_reading_broken", 3, {call("/S"), many, Http2Frame(kData, 0, 0, "x")});
  write("go_away", 1, {call("/S"), Http2Frame(kGoAway, 0, 0, std::string(8, '\0')), data("a")});
  write("nothing", 0, {});
  write("nothing_going_away", 4, {});
  write("garbage", 0, {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"});
  write("garbage_after_preface", 1, {std::string(40, '\xff'), "more"});
}

}  // namespace
}  // namespace im::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: fuzz_seeds DIR\n";
    return 2;
  }
  im::fuzz::g_dir = argv[1];
  im::fuzz::WriteFrames();
  im::fuzz::WriteSendRequests();
  im::fuzz::WriteHaves();
  im::fuzz::WriteTokens();
  im::fuzz::WriteHttp2Connections();
}
