// All of IM as real processes, for end-to-end tests: the services on unix sockets in a folder of
// their own, with a database of their own.
//
//   Stack stack;
//   client::Channel::Open({.server = stack.address()});
//   stack.Kill("chat");  stack.Start("chat");
//
// Names: auth, chat, presence, gateway. Fails by exceptions. Logs are kept in the folder and
// printed if the test failed. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/database.h"

namespace im::testing {

struct StackOptions {
  // Further configuration, e.g. {"gateway", {"--limits.exempt="}}.
  std::map<std::string, std::vector<std::string>> flags;
  bool start = true;
  // Services on TCP, with mutual TLS between all four; else on unix sockets.
  bool tls = false;
  // Where to make the database (see PrivateCluster); empty: on the cluster of all tests.
  std::string cluster_url;
};

class Stack {
 public:
  explicit Stack(StackOptions options = {});
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  // Of the gateway: "127.0.0.1:PORT", the same after a restart.
  const std::string& address() const { return address_; }
  TestDatabase& database() { return database_; }
  // Logs and sockets.
  const std::string& folder() const { return folder_; }

  // Starts a process and waits until it is healthy.
  void Start(const std::string& name);
  // Without waiting.
  void Launch(const std::string& name);
  void WaitHealthy(const std::string& name);
  // SIGKILL, and waits for the end.
  void Kill(const std::string& name);
  // SIGTERM, and waits for the end; returns the exit status.
  int Terminate(const std::string& name);
  // SIGSTOP and SIGCONT.
  void Pause(const std::string& name);
  void Resume(const std::string& name);
  std::string Log(const std::string& name) const;

 private:
  std::vector<std::string> Arguments(const std::string& name) const;
  std::string AddressOf(const std::string& name) const;

  const StackOptions options_;
  TestDatabase database_;
  std::string folder_;
  std::string address_;
  std::map<std::string, int> ports_;  // of services, with TLS
  std::map<std::string, pid_t> running_;
};

// Runs a program to its end, with `input` on its standard input.
struct Outcome {
  int status = 0;  // exit status, or 128 + signal
  std::string out;
  std::string err;
};
Outcome RunProgram(const std::vector<std::string>& command, const std::string& input = {},
                   const std::vector<std::string>& environment = {});

// Whether the standard health service at a plaintext gRPC address says SERVING; false after a
// second without an answer.
bool IsServing(const std::string& address);

// A TCP port that nobody uses at the moment.
int FreePort();

}  // namespace im::testing
