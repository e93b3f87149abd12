#include "tests/support/stack.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "common/base/workers.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/support/log_secrets.h"

namespace im::testing {
namespace {

using std::chrono::steady_clock;

// In the order in which they are started.
constexpr const char* kServices[] = {"auth", "chat", "presence", "gateway"};

// "chat", "chat-2", "chat-3".
std::string InstanceName(const std::string& service, int number) {
  return number == 1 ? service : service + "-" + std::to_string(number);
}
std::string ServiceOf(const std::string& name) { return name.substr(0, name.find('-')); }

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Runs `child`, which must not return, in a process that dies with the test.
pid_t Fork(const std::function<void()>& child) {
  // What asks for the signal is about the thread that forked, not about its process: so all are
  // forked by one that never ends.
  static auto* const forks = new Workers(1, 100);
  auto forked = std::make_shared<std::promise<pid_t>>();
  const bool submitted = forks->TrySubmit([&child, forked, parent = getpid()] {
    const pid_t pid = fork();
    if (pid != 0) return forked->set_value(pid);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    child();
    _exit(127);
  });
  const pid_t pid = submitted ? forked->get_future().get() : -1;
  if (pid < 0) throw std::runtime_error("fork failed");
  return pid;
}

// Asks the standard health service, on one channel however often it is asked.
class HealthProbe {
 public:
  explicit HealthProbe(const std::string& address,
                       const std::shared_ptr<grpc::ChannelCredentials>& credentials =
                           grpc::InsecureChannelCredentials()) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
    stub_ = grpc::health::v1::Health::NewStub(
        grpc::CreateCustomChannel(address, credentials, arguments));
  }

  bool IsServing() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
    // Only a waiting call drives the connection on; without one gRPC looks after it every five
    // seconds.
    context.set_wait_for_ready(true);
    grpc::health::v1::HealthCheckResponse response;
    return stub_->Check(&context, {}, &response).ok() &&
           response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
  }

 private:
  std::unique_ptr<grpc::health::v1::Health::Stub> stub_;
};

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string LastLines(const std::string& text, int lines) {
  size_t begin = text.size();
  for (int i = 0; i <= lines && begin != 0 && begin != std::string::npos; ++i) {
    begin = text.rfind('\n', begin - 1);
  }
  return begin == 0 || begin == std::string::npos ? text : "...\n" + text.substr(begin + 1);
}

int ToStatus(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

}  // namespace

bool IsServing(const std::string& address) { return HealthProbe(address).IsServing(); }

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    close(fd);
    throw std::runtime_error("no free port");
  }
  close(fd);
  return ntohs(address.sin_port);
}

Stack::Stack(StackOptions options)
    : options_(std::move(options)),
      database_(options_.cluster_url.empty() ? TestDatabase()
                                             : TestDatabase(options_.cluster_url)) {
  std::string pattern = (std::filesystem::temp_directory_path() / "im-stack-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  folder_ = pattern;
  // Where postgres.sh has it written.
  postgres_log_ = database_.Value("SHOW data_directory") + "/server.log";
  postgres_log_begin_ = std::filesystem::file_size(postgres_log_);
  if (options_.tls) {
    std::vector<std::string> command = {IM_SOURCE_DIR "/deploy/certificates.sh", folder_,
                                        "localhost"};
    std::set<std::string> hosts;
    for (const auto& [name, place] : options_.places) {
      if (place.host != "localhost" && hosts.insert(place.host).second) {
        command.push_back(place.host);
      }
    }
    const Outcome made = RunProgram(command);
    if (made.status != 0) throw std::runtime_error("no certificates: " + made.err);
  }
  for (const char* service : kServices) {
    const auto asked = options_.instances.find(service);
    const int count = asked == options_.instances.end() ? 1 : asked->second;
    for (int i = 1; i <= count; ++i) Register(InstanceName(service, i));
  }
  if (!options_.start) return;
  for (const std::string& name : names_) Launch(name);
  for (const std::string& name : names_) WaitHealthy(name);
}

Stack::~Stack() {
  // Else the others would hide a crash, or what a sanitizer found.
  for (const auto& [name, status] : TakeEnded()) {
    ADD_FAILURE() << name << " ended by itself with " << status;
  }
#ifdef __SANITIZE_ADDRESS__
  TerminateAll();
#endif
  while (!running_.empty()) Kill(running_.begin()->first);
  // In every suite that runs the services.
  const std::vector<std::string> secrets = FindSecretsInLogs();
  if (!secrets.empty()) ADD_FAILURE() << secrets.front();
  if (::testing::Test::HasFailure()) {
    for (const std::string& name : names_) {
      // All of it would hide what failed: ctest shows a part of what a test prints.
      std::cerr << "---- log of " << name << "\n" << LastLines(Log(name), 100);
    }
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::vector<std::string> Stack::FindSecretsInLogs() const {
  LogSecrets secrets;
  secrets.AddFrom(database_.url());
  std::vector<std::string> found;
  const auto search = [&](const std::string& name, const std::string& log, bool words) {
    for (const std::string& what : secrets.FindIn(log, words)) {
      found.push_back("the log of " + name + " holds " + what);
    }
  };
  // Also of those that were removed since.
  for (const auto& file : std::filesystem::directory_iterator(folder_)) {
    if (file.path().extension() == ".log")
      search(file.path().stem().string(), ReadAll(file.path().string()), true);
  }
  search("PostgreSQL", PostgresLog(), false);
  return found;
}

std::string Stack::PostgresLog() const {
  const std::string log = ReadAll(postgres_log_);
  // It is gone with a primary that was deleted.
  return log.substr(std::min(postgres_log_begin_, log.size()));
}

void Stack::Register(const std::string& name) {
  names_.push_back(name);
  if (ServiceOf(name) == "gateway") {
    doors_[name] = "127.0.0.1:" + std::to_string(FreePort());
  } else if (options_.tls) {
    ports_[name] = FreePort();
  }
}

std::vector<std::string> Stack::names() const {
  std::vector<std::string> sorted;
  for (const char* service : kServices) {
    for (const std::string& name : names_) {
      if (ServiceOf(name) == service) sorted.push_back(name);
    }
  }
  return sorted;
}

std::string Stack::Add(const std::string& service) {
  int number = 1;
  while (std::count(names_.begin(), names_.end(), InstanceName(service, number)) > 0) ++number;
  Register(InstanceName(service, number));
  return names_.back();
}

void Stack::Remove(const std::string& name) {
  names_.erase(std::remove(names_.begin(), names_.end(), name), names_.end());
}

Place Stack::PlaceOf(const std::string& name) const {
  for (const std::string& whose : {name, ServiceOf(name)}) {
    const auto place = options_.places.find(whose);
    if (place != options_.places.end()) return place->second;
  }
  return {};
}

std::shared_ptr<grpc::ChannelCredentials> Stack::CredentialsFor(const std::string& name) const {
  if (!options_.tls || ServiceOf(name) == "gateway") return grpc::InsecureChannelCredentials();
  return grpc::SslCredentials({.pem_root_certs = ReadAll(folder_ + "/ca.crt"),
                               .pem_private_key = ReadAll(folder_ + "/server.key"),
                               .pem_cert_chain = ReadAll(folder_ + "/server.crt")});
}

std::string Stack::AddressOf(const std::string& name) const {
  if (ServiceOf(name) == "gateway") return address(name);
  if (options_.tls) return PlaceOf(name).host + ":" + std::to_string(ports_.at(name));
  return "unix:" + folder_ + "/" + name + ".sock";
}

std::string Stack::AddressesOf(const std::string& service) const {
  std::string list;
  for (const std::string& name : names_) {
    if (ServiceOf(name) == service) list += (list.empty() ? "" : ",") + AddressOf(name);
  }
  return list;
}

std::vector<std::string> Stack::Arguments(const std::string& name) const {
  const std::string service = ServiceOf(name);
  std::vector<std::string> arguments = {IM_BINARY_DIR "/bin/im-" + service,
                                        "--logging.level=debug"};
  const auto add = [&](const std::string& key, const std::string& value) {
    arguments.push_back("--" + key + "=" + value);
  };
  add("server.listen", AddressOf(name));
  if (service != "gateway") add("database.url", database_.UrlOf(service));
  if (service != "auth") add("upstreams.auth", AddressesOf("auth"));
  if (service == "presence" || service == "gateway") add("upstreams.chat", AddressesOf("chat"));
  if (service == "gateway") add("upstreams.presence", AddressesOf("presence"));
  if (options_.tls) {
    if (service != "gateway") {
      add("server.tls_certificate", folder_ + "/server.crt");
      add("server.tls_key", folder_ + "/server.key");
      add("server.tls_client_ca", folder_ + "/ca.crt");
    }
    if (service != "auth") {
      add("upstreams.tls_certificate", folder_ + "/server.crt");
      add("upstreams.tls_key", folder_ + "/server.key");
      add("upstreams.tls_ca", folder_ + "/ca.crt");
    }
  }
  // Cheap hashes, unless they are what is tested.
  const auto of_auth = options_.flags.find("auth");
  const bool dear =
      of_auth != options_.flags.end() &&
      std::any_of(of_auth->second.begin(), of_auth->second.end(), [](const std::string& flag) {
        return flag.rfind("--passwords.memory_kib", 0) == 0;
      });
  if (service == "auth" && !dear) {
    add("passwords.memory_kib", "8");
    add("passwords.passes", "1");
  }
  for (const std::string& whose : std::set<std::string>{service, name}) {
    const auto more = options_.flags.find(whose);
    if (more == options_.flags.end()) continue;
    arguments.insert(arguments.end(), more->second.begin(), more->second.end());
  }
  return arguments;
}

void Stack::Launch(const std::string& name, const std::vector<std::string>& environment) {
  if (running_.count(name) > 0) throw std::runtime_error(name + " runs already");
  const std::vector<std::string> arguments = Arguments(name);
  const std::string log = folder_ + "/" + name + ".log";
  const std::string network = PlaceOf(name).network;
  running_[name] = Fork([&] {
    if (!network.empty() && setns(open(network.c_str(), O_RDONLY | O_CLOEXEC), CLONE_NEWNET) != 0) {
      _exit(126);
    }
    const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    for (const std::string& variable : environment) putenv(const_cast<char*>(variable.c_str()));
    execv(arguments[0].c_str(), Pointers(arguments).data());
    _exit(127);
  });
}

void Stack::Start(const std::string& name) {
  Launch(name);
  WaitHealthy(name);
}

void Stack::WaitHealthy(const std::string& name) {
  const auto deadline = steady_clock::now() + std::chrono::seconds(30);
  HealthProbe probe(AddressOf(name), CredentialsFor(name));
  while (!probe.IsServing()) {
    int status = 0;
    if (waitpid(running_.at(name), &status, WNOHANG) != 0) {
      running_.erase(name);
      throw std::runtime_error(name + " ended with " + std::to_string(ToStatus(status)) + ":\n" +
                               Log(name));
    }
    if (steady_clock::now() > deadline) {
      throw std::runtime_error(name + " is not healthy:\n" + Log(name));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

bool Stack::IsHealthy(const std::string& name) const {
  return IsRunning(name) && HealthProbe(AddressOf(name), CredentialsFor(name)).IsServing();
}

std::map<std::string, int> Stack::TakeEnded() {
  std::map<std::string, int> ended;
  for (const auto& [name, pid] : std::map(running_)) {
    int status = 0;
    if (waitpid(pid, &status, WNOHANG) != pid) continue;
    running_.erase(name);
    ended[name] = ToStatus(status);
  }
  return ended;
}

void Stack::Kill(const std::string& name) {
  const pid_t pid = running_.at(name);
  running_.erase(name);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

int Stack::Terminate(const std::string& name) {
  kill(running_.at(name), SIGTERM);
  return AwaitEnd(name);
}

int Stack::AwaitEnd(const std::string& name) {
  const pid_t pid = running_.at(name);
  // Longer than any shutdown takes, a gateway's drain and a slow sanitizer included.
  const auto deadline = steady_clock::now() + std::chrono::minutes(2);
  int status = 0;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (steady_clock::now() > deadline) throw std::runtime_error(name + " does not end");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  running_.erase(name);
  return ToStatus(status);
}

void Stack::TerminateAll() {
  for (const auto& [name, pid] : running_) {
    kill(pid, SIGCONT);
    kill(pid, SIGTERM);
  }
  try {
    while (!running_.empty()) {
      const std::string name = running_.begin()->first;
      const int status = AwaitEnd(name);
      if (status != 0) ADD_FAILURE() << name << ", told to end, ended with " << status;
    }
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what();
  }
}

void Stack::Pause(const std::string& name) { kill(running_.at(name), SIGSTOP); }
void Stack::Resume(const std::string& name) { kill(running_.at(name), SIGCONT); }

size_t Stack::PeakMemory(const std::string& name) const {
  std::ifstream file("/proc/" + std::to_string(running_.at(name)) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stoul(line.substr(6)) << 10;
  }
  throw std::runtime_error("no memory is told of " + name);
}

std::string Stack::Log(const std::string& name) const {
  return ReadAll(folder_ + "/" + name + ".log");
}

Outcome RunProgram(const std::vector<std::string>& command, const std::string& input,
                   const std::vector<std::string>& environment) {
  int in[2], out[2], err[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
    throw std::runtime_error("pipe failed");
  }
  const pid_t pid = Fork([&] {
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    for (const std::string& variable : environment) putenv(const_cast<char*>(variable.c_str()));
    execvp(command[0].c_str(), Pointers(command).data());
    _exit(127);
  });
  close(in[0]);
  close(out[1]);
  close(err[1]);
  signal(SIGPIPE, SIG_IGN);
  // Inputs are smaller than a pipe's buffer.
  if (write(in[1], input.data(), input.size()) < 0) {
    // The program may end without reading.
  }
  close(in[1]);
  Outcome outcome;
  pollfd fds[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  int open_pipes = 2;
  while (open_pipes > 0 && poll(fds, 2, -1) >= 0) {
    for (int i = 0; i < 2; ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      char buffer[4096];
      const ssize_t count = read(fds[i].fd, buffer, sizeof buffer);
      if (count <= 0) {
        close(fds[i].fd);
        fds[i].fd = -1;
        --open_pipes;
      } else {
        (i == 0 ? outcome.out : outcome.err).append(buffer, static_cast<size_t>(count));
      }
    }
  }
  int status = 0;
  waitpid(pid, &status, 0);
  outcome.status = ToStatus(status);
  return outcome;
}

}  // namespace im::testing
