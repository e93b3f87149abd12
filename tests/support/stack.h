// All of IM as real processes, for end-to-end tests: the services on unix sockets in a folder of
// their own, with a database of their own.
//
//   Stack stack;
//   client::Channel::Open({.server = stack.address()});
//   stack.Kill("chat");  stack.Start("chat");
//
// Names: auth, chat, presence, gateway; of further instances chat-2, gateway-2, ... Fails by
// exceptions. Logs, at level debug, are kept in the folder and printed if the test failed; at the
// end they and PostgreSQL's are searched for what no log may hold (log_secrets.h), which fails the
// test. Not thread-safe, but for what is constant: database(), folder(), address() of instances
// that are there from the start.
#pragma once

#include <grpcpp/grpcpp.h>
#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/database.h"

namespace im::testing {

// Where an instance runs, with TLS: the host name or address that others reach it at, and the file
// of its network namespace; empty: this process' own.
struct Place {
  std::string host = "localhost";
  std::string network;
};

struct StackOptions {
  // How many instances of a service; one of each that is not named.
  std::map<std::string, int> instances;
  // Further configuration, e.g. {"gateway", {"--limits.exempt="}}, of all instances of a service or
  // of one of them.
  std::map<std::string, std::vector<std::string>> flags;
  bool start = true;
  // Services on TCP, with mutual TLS between all four; else on unix sockets.
  bool tls = false;
  // Of services or single instances; only with tls, not for gateways.
  std::map<std::string, Place> places;
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
  const std::string& address() const { return address("gateway"); }
  // Of a gateway by name.
  const std::string& address(const std::string& gateway) const { return doors_.at(gateway); }
  TestDatabase& database() { return database_; }
  // Logs and sockets.
  const std::string& folder() const { return folder_; }

  // Of all instances: auth first, gateways last.
  std::vector<std::string> names() const;
  // One more instance of a service, not started; returns its name. Like an operator who writes it
  // into the configuration: the others know of it from their own next start on.
  std::string Add(const std::string& service);
  // Takes an instance out of the configuration; it runs on until it is ended.
  void Remove(const std::string& name);

  // Starts a process and waits until it is healthy.
  void Start(const std::string& name);
  // Without waiting; `environment` like {"TZ=UTC"}.
  void Launch(const std::string& name, const std::vector<std::string>& environment = {});
  void WaitHealthy(const std::string& name);
  // Asks once; false after a second without an answer.
  bool IsHealthy(const std::string& name) const;
  bool IsRunning(const std::string& name) const { return running_.count(name) > 0; }
  // Processes that ended by themselves since the last call, with exit status or 128 + signal.
  std::map<std::string, int> TakeEnded();
  // SIGKILL, and waits for the end.
  void Kill(const std::string& name);
  // SIGTERM, and waits for the end; returns the exit status.
  int Terminate(const std::string& name);
  // SIGSTOP and SIGCONT.
  void Pause(const std::string& name);
  void Resume(const std::string& name);
  std::string Log(const std::string& name) const;
  // What PostgreSQL logged since this was made, for all tests that use the same one.
  std::string PostgresLog() const;
  // What the logs hold and may not, in words.
  std::vector<std::string> FindSecretsInLogs() const;
  // The most memory that a process which runs had so far, in bytes.
  size_t PeakMemory(const std::string& name) const;

 private:
  void Register(const std::string& name);
  // SIGTERM to all, and waits: leaks are found by a process that ends, not by one that is killed.
  void TerminateAll();
  // Returns the exit status.
  int AwaitEnd(const std::string& name);
  // Of an instance, else of its service, else the default.
  Place PlaceOf(const std::string& name) const;
  std::shared_ptr<grpc::ChannelCredentials> CredentialsFor(const std::string& name) const;
  std::vector<std::string> Arguments(const std::string& name) const;
  std::string AddressOf(const std::string& name) const;
  // Comma-separated, of all instances of the service.
  std::string AddressesOf(const std::string& service) const;

  const StackOptions options_;
  TestDatabase database_;
  std::string folder_;
  // PostgreSQL's log, and how long it was.
  std::string postgres_log_;
  size_t postgres_log_begin_ = 0;
  // Constant but for Add and Remove: of each instance, its name; of gateways "127.0.0.1:PORT".
  std::vector<std::string> names_;
  std::map<std::string, std::string> doors_;
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
