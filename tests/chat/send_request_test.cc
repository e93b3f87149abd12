#include "services/chat/send_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/escaping.h"
#include "common/base/error.h"
#include "im/chat/v1/messages.pb.h"

namespace im::chat {
namespace {

using ::testing::Optional;

const std::string kId(16, 'r');

std::string Request(const std::string& content) {
  v1::SendMessageRequest request;
  request.set_conversation_id(7);
  request.set_request_id(kId);
  std::string bytes = request.SerializeAsString();
  bytes += '\x1a';
  size_t length = content.size();
  for (; length > 127; length >>= 7) bytes += static_cast<char>((length & 0x7f) | 0x80);
  bytes += static_cast<char>(length);
  return bytes + content;
}

std::string Text(const std::string& body) {
  v1::Content content;
  content.mutable_text()->set_body(body);
  return content.SerializeAsString();
}

std::optional<Reason> ReasonFor(const std::string& bytes) {
  return ReasonOf(ParseSendRequest(bytes).status());
}

TEST(SendRequestTest, KeepsTheClientsOwnBytes) {
  // An unknown field, 100, of a newer client.
  const std::string content = Text("hé") + std::string("\xa0\x06\x01", 3);
  const absl::StatusOr<SendItem> item = ParseSendRequest(Request(content));
  ASSERT_TRUE(item.ok()) << item.status();
  EXPECT_EQ(item->conversation_id, 7);
  EXPECT_EQ(item->request_id, kId);
  EXPECT_EQ(item->content, content);
}

TEST(SendRequestTest, TheHashIsOfPlaceAndContent) {
  const auto hash = [](const std::string& bytes) { return ParseSendRequest(bytes)->request_hash; };
  EXPECT_EQ(hash(Request(Text("a"))), hash(Request(Text("a"))));
  EXPECT_NE(hash(Request(Text("a"))), hash(Request(Text("b"))));
}

TEST(SendRequestTest, RefusesWithAReason) {
  EXPECT_THAT(ReasonFor("\xff\xff"), Optional(Reason::MALFORMED_REQUEST));
  EXPECT_THAT(ReasonFor(std::string("\0\0", 2)), Optional(Reason::MALFORMED_REQUEST));
  EXPECT_THAT(ReasonFor(""), Optional(Reason::REQUEST_ID_INVALID));
  EXPECT_THAT(ReasonFor(Request("\x0a\x05hi")), Optional(Reason::MALFORMED_REQUEST));
  EXPECT_THAT(ReasonFor(Request("")), Optional(Reason::CONTENT_MISSING));
  EXPECT_THAT(ReasonFor(Request("\x12\x01x")), Optional(Reason::UNSUPPORTED_CONTENT));
  EXPECT_THAT(ReasonFor(Request(Text(""))), Optional(Reason::TEXT_EMPTY));
  EXPECT_THAT(ReasonFor(Request(Text(std::string(kMaxTextBytes + 1, 'x')))),
              Optional(Reason::TEXT_TOO_LONG));
  EXPECT_EQ(ReasonFor(Request(Text(std::string(kMaxTextBytes, 'x')))), std::nullopt);
  EXPECT_THAT(ReasonFor(Request(std::string("\x0a\x03\x0a\x01\xff", 5))),
              Optional(Reason::TEXT_INVALID));
  EXPECT_THAT(ReasonFor(Request(std::string("\x0a\x05\x0a\x03"
                                            "a\0b",
                                            7))),
              Optional(Reason::TEXT_INVALID));
}

// What is let through is parsed by every receiver, inside of the frames that carry it.
TEST(SendRequestTest, WhatAReceiverCouldNotParseIsRefused) {
  const auto framed = [](const std::string& bytes) {
    const int size = static_cast<int>(bytes.size());
    return std::string{'\x0a', static_cast<char>(size)} + bytes;
  };
  const std::string invalid = framed(framed("\xff")), valid = framed(framed("ok"));
  EXPECT_THAT(ReasonFor(Request(invalid + valid)), Optional(Reason::MALFORMED_REQUEST));
  EXPECT_THAT(ReasonFor(Request(framed(framed("\xff") + framed("ok")))),
              Optional(Reason::MALFORMED_REQUEST));
  const std::string zero("\0\1", 2);
  EXPECT_THAT(ReasonFor(Request(zero + valid)), Optional(Reason::MALFORMED_REQUEST));
  EXPECT_THAT(ReasonFor(Request(valid + zero)), Optional(Reason::MALFORMED_REQUEST));
  EXPECT_THAT(ReasonFor(Request(framed(zero + framed("ok")))), Optional(Reason::MALFORMED_REQUEST));
  const std::string group = "\xa3\x06\xa4\x06";
  EXPECT_THAT(ReasonFor(Request(valid + group)), Optional(Reason::MALFORMED_REQUEST));
  EXPECT_THAT(ReasonFor(Request(framed(framed("ok") + group))),
              Optional(Reason::MALFORMED_REQUEST));
  EXPECT_EQ(ReasonFor(Request(valid)), std::nullopt);
}

// Parsers differ in what they make of these.
TEST(SendRequestTest, NumbersThatAreTooLongAreRefused) {
  const std::string one_in_six("\x81\x80\x80\x80\x80\x00", 6);
  const std::string three_in_six("\x83\x80\x80\x80\x80\x00", 6);
  EXPECT_THAT(ReasonFor(Request('\x0a' + three_in_six + "\x0a\x01x")),
              Optional(Reason::MALFORMED_REQUEST));
  EXPECT_THAT(ReasonFor(Request("\x0a\x08\x0a" + one_in_six + "x")),
              Optional(Reason::MALFORMED_REQUEST));
  EXPECT_THAT(ReasonFor(Request(Text("x") + "\xaa\x06" + one_in_six + "x")),
              Optional(Reason::MALFORMED_REQUEST));
  // More than 32 bits of a tag, and more than 64 of a number.
  EXPECT_THAT(ReasonFor(Request(Text("x") + "\xa0\x86\x80\x80\x10\x01")),
              Optional(Reason::MALFORMED_REQUEST));
  EXPECT_THAT(ReasonFor(Request(Text("x") + "\xa0\x06" + std::string(9, '\xff') + '\x02')),
              Optional(Reason::MALFORMED_REQUEST));
  EXPECT_EQ(ReasonFor(Request(Text("x") + "\xa0\x06" + std::string(9, '\xff') + '\x01')),
            std::nullopt);
}

// Whatever bytes are let through, a receiver takes.
TEST(SendRequestTest, WhatIsLetThroughParses) {
  std::mt19937 random(7);  // NOLINT: the same each time
  const std::string seed = Text("hé") + std::string("\xa0\x06\x01\xaa\x06\x02xy", 8);
  int taken = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string content = seed;
    for (unsigned change = random() % 3 + 1; change > 0; --change) {
      const size_t at = random() % content.size();
      if (random() % 4 == 0) {
        content.insert(at, 1, static_cast<char>(random()));
      } else {
        content[at] = static_cast<char>(random());
      }
    }
    if (!ParseSendRequest(Request(content)).ok()) continue;
    ++taken;
    v1::Content parsed;
    ASSERT_TRUE(parsed.ParseFromString(content)) << absl::CHexEscape(content);
    ASSERT_TRUE(parsed.has_text()) << absl::CHexEscape(content);
  }
  EXPECT_GT(taken, 1000);
}

}  // namespace
}  // namespace im::chat
