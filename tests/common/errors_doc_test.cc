// docs/errors.md says of each reason what common/base/reasons.h says. After a change there:
//   IM_UPDATE_DOCS=1 build/dev/tests/errors_doc_test
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "common/base/error.h"

namespace im {
namespace {

constexpr char kPath[] = IM_SOURCE_DIR "/docs/errors.md";

constexpr char kHead[] = R"(# Errors

Every call that fails carries one of these reasons, on unary calls as in the frames of a stream.
Branch on the reason, never on the message, which may change.

- **Unary calls**: the gRPC status code, and in the trailer `grpc-status-details-bin` a
  `google.rpc.Status` with `ErrorInfo{reason, domain: "im"}`, and where they apply
  `BadRequest` (which field, and why) and `RetryInfo` (when to try again). The stock helper of each
  language decodes it, e.g. `grpc_status.rpc_status.from_call` in Python.
- **Frames**: `im.common.v1.Failure` says the same.

What to do depends on the code: `UNAVAILABLE` and `RESOURCE_EXHAUSTED`: try again later, with the
same `request_id` if there is one, not before `RetryInfo` says; `UNAUTHENTICATED`: refresh the token
or log in again, as the reason says; everything else will not get better by repeating it. A reason
that a client does not know is treated by its code.

| Reason | Code | Meaning |
|---|---|---|
)";

struct Row {
  const char* name;
  const char* code;
  const char* text;
};

constexpr Row kRows[] = {
#define IM_REASON(name, code, text) {#name, #code, text},
    IM_REASONS(IM_REASON)
#undef IM_REASON
};

// kResourceExhausted: RESOURCE_EXHAUSTED.
std::string CodeName(const std::string& constant) {
  std::string name;
  for (const char c : constant.substr(1)) {
    if (c >= 'A' && c <= 'Z' && !name.empty()) name += '_';
    name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

std::string Expected() {
  std::string text = kHead;
  for (const Row& row : kRows) {
    text += std::string("| `") + row.name + "` | " + CodeName(row.code) + " | " + row.text + " |\n";
  }
  return text;
}

TEST(ErrorsDocTest, SaysWhatTheCodeSays) {
  if (std::getenv("IM_UPDATE_DOCS") != nullptr) {
    std::ofstream file(kPath);
    file << Expected();
    ASSERT_TRUE(file.good());
  }
  std::ifstream file(kPath);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), Expected());
}

TEST(ErrorsDocTest, ReasonsAreNamedOnce) {
  for (const Row& row : kRows) {
    ASSERT_TRUE(ParseReason(row.name).has_value());
    EXPECT_EQ(ReasonName(*ParseReason(row.name)), row.name);
    EXPECT_EQ(&row - kRows, static_cast<int>(*ParseReason(row.name))) << row.name;
  }
}

}  // namespace
}  // namespace im
