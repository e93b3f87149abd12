#include "imctl/output.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "im/chat/v1/entries.pb.h"
#include "imctl/context.h"
#include "imctl/wording.h"

namespace im::imctl {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(JsonTest, KeepsFieldNamesAndEveryByte) {
  chat::v1::Entry entry;
  entry.set_conversation_id(5);
  entry.set_seq(7);
  const std::string body = "a\x1b[2J\n\"\\\t\x7f \xe2\x80\xae <b>";
  entry.mutable_message()->mutable_text()->set_body(body);
  const std::string json = ToJson(entry, {{"sender_user_name", "bo\"b"}});
  EXPECT_THAT(json, StartsWith("{\"sender_user_name\":\"bo\\\"b\",\"conversation_id\":\"5\""));
  EXPECT_THAT(json, HasSubstr("\"sender_user_id\":\"0\""));
  EXPECT_EQ(json.find('\n'), std::string::npos);
  chat::v1::Entry back;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(json, &back, options).ok());
  EXPECT_EQ(back.message().text().body(), body);
}

TEST(JsonTest, StringsAreAlwaysValid) {
  EXPECT_EQ(JsonString("a\"\\\n\x01"), "\"a\\\"\\\\\\u000a\\u0001\"");
  EXPECT_EQ(JsonString("\xff"), "\"\xef\xbf\xbd\"");
}

TEST(ReportTest, ExitCodesSayWhatKindOfFailure) {
  EXPECT_EQ(Report(absl::OkStatus(), false), kExitOk);
  EXPECT_EQ(Report(Error(Reason::NOT_A_MEMBER), false), kExitRefused);
  EXPECT_EQ(Report(Error(Reason::TEXT_EMPTY), false), kExitRefused);
  EXPECT_EQ(Report(absl::InvalidArgumentError("x"), false), kExitUsage);
  EXPECT_EQ(Report(Error(Reason::WRONG_CREDENTIALS), false), kExitNotLoggedIn);
  EXPECT_EQ(Report(absl::UnavailableError("x"), false), kExitUnreachable);
  EXPECT_EQ(Report(Error(Reason::RATE_LIMITED, "", {.retry_after = std::chrono::seconds(2)}), true),
            kExitTryLater);
  EXPECT_EQ(Report(absl::DataLossError("x"), true), kExitLocal);
  EXPECT_EQ(Report(absl::CancelledError("given up"), false), kExitUsage);
}

TEST(ReportTest, SaysEachThingOnce) {
  ::testing::internal::CaptureStderr();
  Report(InvalidField("bio", "at most 500 characters"), false);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "imctl: bio: at most 500 characters [INVALID_FIELD]\n");
}

TEST(ReportTest, AdviceStandsBelow) {
  ::testing::internal::CaptureStderr();
  Report(WithAdvice(WithAdvice(Error(Reason::NOT_A_MEMBER), "one"), "two"), false);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "imctl: You are not in this conversation any more. [NOT_A_MEMBER]\n  one\n  two\n");
}

TEST(WordingTest, SpeaksToTheOneWhoWasRefused) {
  const auto plain = Not(AnyOf(HasSubstr("caller"), HasSubstr("calling"), HasSubstr("RetryInfo")));
#define IM_REASON(name, code, text) EXPECT_THAT(Wording(Error(Reason::name)), plain);
  IM_REASONS(IM_REASON)
#undef IM_REASON
  EXPECT_EQ(Wording(Error(Reason::NOT_A_MEMBER, "said otherwise")), "said otherwise");
}

TEST(CheckAddressTest, WhatGrpcWouldMakeSomethingElseOfIsRefused) {
  for (const char* good : {"127.0.0.1:7400", "localhost:1", "im.example.org:65535", "[::1]:7400",
                           "unix:/run/im/gateway.sock"}) {
    EXPECT_TRUE(CheckAddress(good).ok()) << good;
  }
  for (const char* bad : {"",
                          "localhost",
                          ":7400",
                          "127.0.0.1:",
                          "127.0.0.1:0",
                          "127.0.0.1:99999",
                          "127.0.0.1:notaport",
                          "127.0.0.1:+1",
                          "127.0.0.1:7400x",
                          "http://im.example.org:7400",
                          "im.example.org:7400/",
                          "a b:1",
                          "::1:7400",
                          "[::1]",
                          "[::1:7400",
                          "[im]:7400",
                          "unix:",
                          "127.0.0.1:4294974696",
                          "dns:///im.example.org:7400",
                          "user@host:7400"}) {
    EXPECT_EQ(CheckAddress(bad).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace im::imctl
