// The client of examples/python against the real services, two of which are killed under it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <future>
#include <string>

#include "tests/support/stack.h"

namespace im::testing {
namespace {

constexpr int kMessages = 1500;

const std::string kExample = IM_SOURCE_DIR "/examples/python";
const std::string kWork = IM_BINARY_DIR "/python";

class PythonExampleTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const Outcome made = RunProgram({kExample + "/environment.sh", kWork});
    ASSERT_EQ(made.status, 0) << made.out << made.err;
  }

  static Outcome Python(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), kWork + "/venv/bin/python");
    return RunProgram(arguments, {}, {"PYTHONPATH=" + kWork + "/stubs:" + kExample});
  }
  // Waits until so many messages are stored, or the program is over.
  void AwaitStored(int count, const std::future<Outcome>& program) {
    while (program.wait_for(std::chrono::milliseconds(5)) != std::future_status::ready) {
      if (std::stoi(stack_.database().Value("SELECT count(*) FROM chat.entries")) >= count) return;
    }
  }

  Stack stack_;
};

TEST_F(PythonExampleTest, DoesWhatItsReadmeSays) {
  const Outcome outcome = Python({kExample + "/client.py", "--server", stack_.address()});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out,
            "bert hears: Can you hear me?\n"
            "bert, back again, hears: One. Two. Three.\n"
            "bert's phone hears: Can you hear me? One. Two. Three.\n");
}

TEST_F(PythonExampleTest, LosesNothingWhenTheServicesAreKilled) {
  std::future<Outcome> program = std::async(std::launch::async, [this] {
    return Python(
        {IM_SOURCE_DIR "/tests/python/resume.py", stack_.address(), std::to_string(kMessages)});
  });
  AwaitStored(kMessages / 4, program);
  stack_.Kill("gateway");
  stack_.Start("gateway");
  AwaitStored(kMessages / 2, program);
  stack_.Kill("chat");
  stack_.Start("chat");
  const Outcome outcome = program.get();
  EXPECT_EQ(outcome.status, 0) << outcome.err << outcome.out;
  // The cuts came in the middle: first of the connection, then of the service behind it.
  EXPECT_THAT(outcome.out, ::testing::MatchesRegex("connections [2-9].*\n"));
}

}  // namespace
}  // namespace im::testing
