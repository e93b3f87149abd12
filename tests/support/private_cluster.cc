#include "tests/support/private_cluster.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "tests/support/database.h"

namespace im::testing {
namespace {

constexpr char kSettings[] = "-c fsync=on -c full_page_writes=on";

// "STATE PARENT ..." of /proc/PID/stat; empty if it is gone.
std::string StatOf(const std::filesystem::path& process) {
  std::ifstream file(process / "stat");
  std::string stat;
  std::getline(file, stat);
  const size_t end = stat.rfind(") ");
  return end == std::string::npos ? "" : stat.substr(end + 2);
}

pid_t ParentOf(const std::filesystem::path& process) {
  const std::string stat = StatOf(process);
  return stat.empty() ? 0 : std::atoi(stat.c_str() + 2);
}

// Also of one that nobody has waited for yet: pg_ctl takes its process for a running server.
bool Exists(pid_t pid) { return kill(pid, 0) == 0; }

}  // namespace

PrivateCluster::PrivateCluster() {
  std::string pattern =
      (std::filesystem::temp_directory_path() / "im-test-cluster-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  folder_ = pattern;
  url_ = StartCluster(folder_, kSettings);
}

PrivateCluster::~PrivateCluster() {
  Resume();
  const std::string stop = IM_SOURCE_DIR "/tests/support/postgres.sh stop '" + folder_ + "'";
  if (std::system(stop.c_str()) == 0) {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
}

pid_t PrivateCluster::server() const {
  // The lock beside the socket names it.
  const size_t begin = url_.find("host=") + 5;
  const std::string sockets = url_.substr(begin, url_.find('&', begin) - begin);
  std::ifstream lock(sockets + "/.s.PGSQL.5432.lock");
  pid_t pid = 0;
  if (!(lock >> pid)) throw std::runtime_error("no server in " + sockets);
  return pid;
}

void PrivateCluster::Kill() {
  const pid_t pid = server();
  kill(pid, SIGKILL);
  while (Exists(pid)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

void PrivateCluster::Start() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (;;) {
    try {
      StartCluster(folder_, kSettings);
      return;
    } catch (const std::exception&) {
      // Processes of the one before may hold its memory for a moment.
      if (std::chrono::steady_clock::now() > deadline) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
  }
}

void PrivateCluster::Pause() {
  const pid_t pid = server();
  // First, so that it starts no more.
  paused_ = {pid};
  kill(pid, SIGSTOP);
  for (const auto& process : std::filesystem::directory_iterator("/proc")) {
    const pid_t child = std::atoi(process.path().filename().c_str());
    if (child > 0 && ParentOf(process.path()) == pid) {
      kill(child, SIGSTOP);
      paused_.push_back(child);
    }
  }
}

void PrivateCluster::Resume() {
  for (const pid_t pid : paused_) kill(pid, SIGCONT);
  paused_.clear();
}

}  // namespace im::testing
