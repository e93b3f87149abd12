// Configuration files: refused with a word on it, or values within their bounds; and what
// --print-config prints of them is read back as the same.
#include "gateway/config.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>

#include "common/base/config_file.h"
#include "common/rpc/channel.h"
#include "gateway/address.h"
#include "tests/fuzz/check.h"

namespace im::gateway {
namespace {

using fuzz::Check;

// A file without a name, in memory.
class ConfigFile {
 public:
  ConfigFile() : fd_(memfd_create("config", 0)) { Check(fd_ >= 0, "there is a file"); }

  void Write(std::string_view text) {
    Check(ftruncate(fd_, 0) == 0 &&
              pwrite(fd_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()),
          "a file can be written");
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  const int fd_;
};

// What a program says, instead of the terminal.
class Captured {
 public:
  explicit Captured(std::ostream* stream) : stream_(stream), before_(stream->rdbuf(out_.rdbuf())) {}
  ~Captured() { stream_->rdbuf(before_); }
  std::string text() const { return out_.str(); }

 private:
  std::ostringstream out_;
  std::ostream* const stream_;
  std::streambuf* const before_;
};

struct Result {
  std::optional<int> exit_code;
  std::string out, err;
  GatewayConfig values;
};

Result Parse(const ConfigFile& file, bool print) {
  Result result;
  Config config("im-gateway", "The fuzz target's.");
  AddOptions(&config, &result.values);
  std::vector<std::string> arguments = {"im-gateway", "--config", file.path()};
  if (print) arguments.push_back("--print-config");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  const Captured out(&std::cout), err(&std::cerr);
  result.exit_code = config.Parse(static_cast<int>(argv.size()), argv.data());
  result.out = out.text();
  result.err = err.text();
  return result;
}

void CheckQuoting(const std::string& value) {
  std::istringstream file("[a]\nb = " + QuotedConfigValue(value) + " # c");
  const auto values = ReadConfigFile(file);
  Check(values.ok() && *values == ConfigValues{{"a.b", value}}, "what is quoted is read back");
}

void CheckValues(const GatewayConfig& values) {
  Check(values.drain_seconds >= 0 && values.drain_seconds <= 600, "drain_seconds has its bounds");
  Check(values.heartbeat_seconds >= 1 && values.heartbeat_seconds <= 3600,
        "heartbeat_seconds has its bounds");
  Check(values.session.queue_bytes >= 4096 && values.session.queue_bytes <= size_t{64} << 20,
        "session_queue_bytes has its bounds");
  Check(values.session.max_frame_bytes >= size_t{32} << 10 &&
            values.session.max_frame_bytes <= size_t{900} << 10,
        "max_frame_bytes has its bounds");
  for (const auto& scopes : values.limits.per_minute) {
    for (const int limit : scopes) Check(limit >= 0, "no limit is negative");
  }
  const GatewayOptions options = ToOptions(values);
  for (const std::string& address : options.upstreams.chat) {
    Check(!address.empty() && address.find(',') == std::string::npos, "addresses are taken apart");
  }
  const auto exempt = AddressSet::Parse(values.limits.exempt);
  if (exempt.ok()) exempt->Contains("10.0.0.1");
}

}  // namespace
}  // namespace im::gateway

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace im::gateway;  // NOLINT: one function
  static auto* const file = new ConfigFile;
  CheckQuoting(std::string(im::fuzz::Bytes(data, size)));
  file->Write(im::fuzz::Bytes(data, size));
  const Result run = Parse(*file, false);
  Check(!run.exit_code || *run.exit_code == 2, "a file is taken or refused");
  if (run.exit_code) {
    Check(!run.err.empty(), "a refusal says why");
    return 0;
  }
  CheckValues(run.values);
  const Result printed = Parse(*file, true);
  Check(printed.exit_code == 0, "what is taken can be printed");
  file->Write(printed.out);
  const Result again = Parse(*file, true);
  Check(again.exit_code == 0 && again.out == printed.out, "what is printed is read back");
  return 0;
}
