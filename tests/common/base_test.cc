#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <future>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/base/usage.h"
#include "common/base/workers.h"

namespace im {
namespace {

using ::testing::Optional;

TEST(ErrorTest, KeepsReasonAndDetails) {
  const absl::Status status = Error(Reason::LOGIN_LOCKED, "wait",
                                    {.retry_after = std::chrono::milliseconds(1500),
                                     .violations = {{"a", "b\nc"}},
                                     .metadata = {{"k", "v"}}});
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(ReasonOf(status), Optional(Reason::LOGIN_LOCKED));
  const ErrorDetails details = DetailsOf(status);
  EXPECT_THAT(details.retry_after, Optional(std::chrono::milliseconds(1500)));
  ASSERT_EQ(details.violations.size(), 1u);
  EXPECT_EQ(details.violations[0].field, "a");
  EXPECT_EQ(details.violations[0].description, "b\nc");
  EXPECT_EQ(details.metadata.at("k"), "v");
}

TEST(ErrorTest, ForeignStatusHasNoReason) {
  EXPECT_EQ(ReasonOf(absl::InternalError("x")), std::nullopt);
  EXPECT_EQ(ReasonOf(absl::OkStatus()), std::nullopt);
}

TEST(TextTest, CountsCharacters) {
  EXPECT_THAT(CountCharacters(""), Optional(0u));
  EXPECT_THAT(CountCharacters("aé€😀"), Optional(4u));
}

TEST(TextTest, RefusesWhatIsNotUtf8) {
  for (const std::string bad : {"\xff", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                                "\xf4\x90\x80\x80", "\x80", "a\xe2\x82"}) {
    EXPECT_EQ(CountCharacters(bad), std::nullopt) << bad;
  }
}

TEST(TextTest, RefusesNul) {
  EXPECT_FALSE(IsText(std::string("a\0b", 3)));
  EXPECT_TRUE(IsText("a\nb"));
  EXPECT_TRUE(IsLine("Ann's é€😀 \u200f"));
  for (const char* bad : {"a\nb", "\x1b[1m", "\x7f", "a\u0085", "\u2028", "a\u2029", "\xc2"}) {
    EXPECT_FALSE(IsLine(bad)) << bad;
  }
}

TEST(WorkersTest, GiveWayAsTheyAreTold) {
  const auto niceness = [] { return getpriority(PRIO_PROCESS, 0); };
  const int own = niceness();
  Workers prompt(1, 10);
  Workers patient(1, 10, 5);
  std::promise<int> of_prompt;
  std::promise<int> of_patient;
  ASSERT_TRUE(prompt.TrySubmit([&] { of_prompt.set_value(niceness()); }));
  ASSERT_TRUE(patient.TrySubmit([&] { of_patient.set_value(niceness()); }));
  EXPECT_EQ(of_prompt.get_future().get(), own);
  EXPECT_EQ(of_patient.get_future().get(), std::min(own + 5, 19));
  EXPECT_EQ(niceness(), own);
}

TEST(UsageTest, NamesTheWordThatNobodyKnows) {
  const auto said = [](const std::string& line) {
    CLI::App app("", "im-thing");
    app.require_subcommand(1);
    CLI::App* group = app.add_subcommand("group");
    group->require_subcommand(1);
    group->add_subcommand("add")->add_option("NAME")->required();
    ::testing::internal::CaptureStderr();
    try {
      app.parse(line);
      ADD_FAILURE() << line;
    } catch (const CLI::ParseError& error) {
      EXPECT_EQ(ReportUsage(app, error), 2) << line;
    }
    return ::testing::internal::GetCapturedStderr();
  };
  using ::testing::StartsWith;
  EXPECT_THAT(said("gruop"), StartsWith("im-thing: does not know gruop\n"));
  EXPECT_THAT(said("--gruop"), StartsWith("im-thing: does not know --gruop\n"));
  EXPECT_THAT(said("group ad bob"), StartsWith("im-thing group: does not know ad\n"));
  EXPECT_THAT(said("group add --nmae"), StartsWith("im-thing group add: does not know --nmae\n"));
  EXPECT_THAT(said("group add"), ::testing::HasSubstr("NAME is required"));
}

}  // namespace
}  // namespace im
