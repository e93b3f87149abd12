// Clocks that are wrong, by libfaketime (Debian's faketime) under one service.
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>
#include <utility>

#include "tests/faults/fault.h"

namespace im::faults {
namespace {

using std::chrono::milliseconds;

std::string FindLibrary() {
  std::error_code ignored;
  for (const auto& folder : std::filesystem::directory_iterator("/usr/lib", ignored)) {
    const auto library = folder.path() / "faketime" / "libfaketimeMT.so.1";
    if (std::filesystem::exists(library, ignored)) return library;
  }
  return {};
}

// The whole of a file at once: the service may read at any time.
void WriteOffset(const std::string& path, int64_t seconds) {
  {
    std::ofstream file(path + ".new");
    file << (seconds < 0 ? "" : "+") << seconds << "\n";
  }
  std::filesystem::rename(path + ".new", path);
}

// Under one service the clock is right at first, so that the step comes while it runs.
Fault Step(const std::string& service) {
  const auto chosen = std::make_shared<std::string>();
  return {.name = "clock-" + service,
          .what = "the clock of an im-" + service + " is set forward or back, and right again",
          // It waits until the service, started anew, is healthy, and that needs the others.
          .touches = {"auth", "chat", "presence", "gateway", "postgres"},
          .least = milliseconds(4'000),
          .most = milliseconds(15'000),
          .begin =
              [service, chosen](SetUp& set_up, Random* random) {
                std::vector<std::string> instances;
                for (const std::string& name : set_up.stack().names()) {
                  if (name.substr(0, name.find('-')) == service) instances.push_back(name);
                }
                *chosen = random->OneOf(instances);
                // Less and more than an access token lives.
                const int64_t step = random->OneOf(std::vector<int64_t>{-1'200, -60, 60, 1'200});
                const std::string file = set_up.stack().folder() + "/" + *chosen + ".clock";
                WriteOffset(file, 0);
                set_up.stack().Kill(*chosen);
                set_up.stack().Launch(
                    *chosen, {"LD_PRELOAD=" + FindLibrary(), "FAKETIME_TIMESTAMP_FILE=" + file,
                              "FAKETIME_CACHE_DURATION=1", "DONT_FAKE_MONOTONIC=1",
                              "FAKETIME_DONT_FAKE_MONOTONIC=1"});
                set_up.stack().WaitHealthy(*chosen);
                std::this_thread::sleep_for(milliseconds(1'000));
                WriteOffset(file, step);
                return *chosen + ", " + std::to_string(step) + " s";
              },
          .heal =
              [chosen](SetUp& set_up) {
                if (chosen->empty()) return;
                const std::string name = std::exchange(*chosen, {});
                WriteOffset(set_up.stack().folder() + "/" + name + ".clock", 0);
                std::this_thread::sleep_for(milliseconds(2'000));
                // Without the library: it costs time.
                if (set_up.stack().IsRunning(name)) set_up.stack().Kill(name);
                set_up.stack().Launch(name);
              },
          .obstacle =
              [](SetUp&) {
                return FindLibrary().empty() ? "there is no libfaketime (package faketime)" : "";
              }};
}

}  // namespace

std::vector<Fault> ClockFaults() {
  return {Step("auth"), Step("chat"), Step("presence"), Step("gateway")};
}

}  // namespace im::faults
