#include "tests/support/private_cluster.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <pqxx/pqxx>
#include <stdexcept>
#include <thread>

#include "tests/support/database.h"

namespace im::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr char kSettings[] = "-c fsync=on -c full_page_writes=on";
constexpr milliseconds kPatience{30'000};
constexpr char kFolder[] = "im-test-cluster-";

std::string Quoted(const std::string& word) { return "'" + word + "'"; }

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

std::vector<pid_t> ChildrenOf(pid_t pid) {
  std::vector<pid_t> children;
  for (const auto& process : std::filesystem::directory_iterator("/proc")) {
    const pid_t child = std::atoi(process.path().filename().c_str());
    if (child > 0 && ParentOf(process.path()) == pid) children.push_back(child);
  }
  return children;
}

void WaitUntil(const std::function<bool()>& condition, const std::string& what) {
  const auto deadline = steady_clock::now() + kPatience;
  while (!condition()) {
    if (steady_clock::now() > deadline) throw std::runtime_error(what);
    std::this_thread::sleep_for(milliseconds(5));
  }
}

void Run(const std::string& command) {
  if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
}

std::string HostOf(const std::string& url) {
  const size_t begin = url.find("host=") + 5;
  return url.substr(begin, url.find('&', begin) - begin);
}

// Of the server with its socket there, which the lock beside it names; 0: there is none.
pid_t ServerIn(const std::string& sockets) {
  std::ifstream lock(sockets + "/.s.PGSQL.5432.lock");
  pid_t pid = 0;
  lock >> pid;
  return pid;
}

// With all its processes, also those that stand still.
void KillServer(const std::string& sockets) {
  const pid_t pid = ServerIn(sockets);
  if (pid == 0 || !Exists(pid)) return;
  // First, so that it starts no more.
  kill(pid, SIGSTOP);
  const std::vector<pid_t> children = ChildrenOf(pid);
  for (const pid_t child : children) kill(child, SIGKILL);
  kill(pid, SIGKILL);
  WaitUntil([&] { return !Exists(pid); }, "the server does not end");
  for (const pid_t child : children) {
    WaitUntil([&] { return !Exists(child); }, "a process of the server does not end");
  }
}

}  // namespace

bool PrivateCluster::CanHaveDisk() {
  if (geteuid() != 0) return false;
  std::string folder = (std::filesystem::temp_directory_path() / "im-test-disk-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  const std::string image = Quoted(folder + "/disk");
  const std::string mount = Quoted(folder);
  const std::string command = "( truncate -s 1M " + image + " && PATH=$PATH:/sbin:/usr/sbin && " +
                              "mkfs.ext4 -q -F " + image + " && mount -o loop " + image + " " +
                              mount + " && umount " + mount + " ) >/dev/null 2>&1";
  const bool can = std::system(command.c_str()) == 0;
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return can;
}

void PrivateCluster::DeleteLeftIn(const std::string& temporary) {
  for (const auto& folder : std::filesystem::directory_iterator(temporary)) {
    if (folder.path().filename().string().rfind(kFolder, 0) != 0) continue;
    for (const auto& node : std::filesystem::directory_iterator(folder)) {
      if (!node.is_directory()) continue;
      const std::string quoted = Quoted(node.path().string());
      KillServer(HostOf(PostgresScript("url " + quoted)));
      const std::string data = PostgresScript("data " + quoted);
      umount2(data.c_str(), MNT_DETACH);
      PostgresScript("stop " + quoted);
    }
    std::filesystem::remove_all(folder);
  }
}

PrivateCluster::PrivateCluster(const PrivateClusterOptions& options) : options_(options) {
  std::string pattern = (std::filesystem::temp_directory_path() / kFolder).string() + "XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  folder_ = pattern;
  nodes_.push_back({folder_ + "/a", {}, {}});
  if (options.standby) nodes_.push_back({folder_ + "/b", {}, {}});
  for (Node& node : nodes_) {
    node.url = PostgresScript("url " + Quoted(node.folder));
    if (options.disk_mb > 0) Mount(&node);
  }
  StartCluster(nodes_[0].folder, kSettings);
  url_ = nodes_[0].url;
  if (!options.standby) return;
  const std::string host = HostOf(url_);
  url_.replace(url_.find(host), host.size(), host + "," + HostOf(nodes_[1].url));
  url_ += "&target_session_attrs=read-write";
}

PrivateCluster::~PrivateCluster() {
  Resume();
  bool stopped = true;
  for (const Node& node : nodes_) {
    try {
      PostgresScript("stop " + Quoted(node.folder));
    } catch (const std::exception&) {
      stopped = false;
    }
    Unmount(node);
  }
  std::error_code ignored;
  if (stopped) std::filesystem::remove_all(folder_, ignored);
}

// A file with ext4 in it: unlike tmpfs it can run full and still writes to the disk.
void PrivateCluster::Mount(Node* node) {
  const std::string data = PostgresScript("data " + Quoted(node->folder));
  const std::string image = node->folder + "/disk";
  Run("truncate -s " + std::to_string(options_.disk_mb) + "M " + Quoted(image));
  Run("PATH=$PATH:/sbin:/usr/sbin mkfs.ext4 -q -m 0 -F " + Quoted(image));
  Run("mount -o loop " + Quoted(image) + " " + Quoted(data) + " 2>&1");
  node->mount = data;
  rmdir((data + "/lost+found").c_str());
  Run("chown postgres: " + Quoted(data));
}

void PrivateCluster::Unmount(const Node& node) {
  if (node.mount.empty()) return;
  umount2(node.mount.c_str(), MNT_DETACH);
  std::error_code ignored;
  std::filesystem::remove(node.mount, ignored);
}

pid_t PrivateCluster::server(const Node& node) const {
  const std::string sockets = HostOf(node.url);
  const pid_t pid = ServerIn(sockets);
  if (pid == 0) throw std::runtime_error("no server in " + sockets);
  return pid;
}

// A server that recovers refuses connections for a while.
std::string PrivateCluster::Query(const Node& node, const std::string& sql) const {
  const auto deadline = steady_clock::now() + kPatience;
  std::unique_ptr<pqxx::connection> connection;
  while (connection == nullptr) {
    try {
      connection = std::make_unique<pqxx::connection>(node.url);
    } catch (const std::exception&) {
      if (steady_clock::now() > deadline) throw;
      std::this_thread::sleep_for(milliseconds(50));
    }
  }
  pqxx::nontransaction transaction(*connection);
  const pqxx::result rows = transaction.exec(sql);
  return rows.empty() || rows[0].size() == 0 ? "" : std::string(rows[0][0].c_str());
}

bool PrivateCluster::IsRunning() const {
  try {
    return Exists(server(nodes_[0]));
  } catch (const std::exception&) {
    return false;
  }
}

void PrivateCluster::Kill() {
  const pid_t pid = server(nodes_[0]);
  kill(pid, SIGKILL);
  WaitUntil([&] { return !Exists(pid); }, "the server does not end");
}

void PrivateCluster::Abort() {
  const pid_t pid = server(nodes_[0]);
  kill(pid, SIGQUIT);
  WaitUntil([&] { return !Exists(pid); }, "the server does not end");
}

void PrivateCluster::Start() {
  const auto deadline = steady_clock::now() + kPatience;
  for (;;) {
    try {
      StartCluster(nodes_[0].folder, kSettings);
      return;
    } catch (const std::exception&) {
      // Processes of the one before may hold its memory for a moment.
      if (steady_clock::now() > deadline) throw;
      std::this_thread::sleep_for(milliseconds(200));
    }
  }
}

void PrivateCluster::Pause() {
  const pid_t pid = server(nodes_[0]);
  // First, so that it starts no more.
  paused_ = {pid};
  kill(pid, SIGSTOP);
  for (const pid_t child : ChildrenOf(pid)) {
    kill(child, SIGSTOP);
    paused_.push_back(child);
  }
}

void PrivateCluster::Resume() {
  for (const pid_t pid : paused_) kill(pid, SIGCONT);
  paused_.clear();
}

bool PrivateCluster::Answers() const {
  try {
    Query(nodes_[0], "SELECT 1");
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void PrivateCluster::SetSlowCommits(bool slow) {
  // The leader of a group sleeps after it took the lock and before it writes.
  Query(nodes_[0],
        slow ? "ALTER SYSTEM SET commit_delay = 100000" : "ALTER SYSTEM RESET commit_delay");
  Query(nodes_[0],
        slow ? "ALTER SYSTEM SET commit_siblings = 0" : "ALTER SYSTEM RESET commit_siblings");
  Query(nodes_[0], "SELECT pg_reload_conf()");
}

pid_t PrivateCluster::FindCommitting(milliseconds limit) {
  pqxx::connection connection(nodes_[0].url);
  pqxx::nontransaction transaction(connection);
  const auto deadline = steady_clock::now() + limit;
  do {
    const pqxx::result rows = transaction.exec(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
        "AND pid <> pg_backend_pid() AND state = 'active' AND backend_xid IS NOT NULL LIMIT 1");
    if (!rows.empty()) return rows[0][0].as<pid_t>();
  } while (steady_clock::now() < deadline);
  return 0;
}

void PrivateCluster::FillDisk() {
  const std::string ballast = nodes_[0].mount + "/ballast";
  const int fd = open(ballast.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) throw std::runtime_error("cannot write " + ballast);
  const std::string zeros(1 << 20, '\0');
  // Large pieces, then the last blocks.
  for (const size_t size : {zeros.size(), size_t{4096}}) {
    while (write(fd, zeros.data(), size) > 0) {
    }
  }
  const bool full = errno == ENOSPC;
  close(fd);
  if (!full) throw std::runtime_error("the disk does not run full");
}

void PrivateCluster::FreeDisk() { std::filesystem::remove(nodes_[0].mount + "/ballast"); }

void PrivateCluster::FillLog() {
  pqxx::connection connection(nodes_[0].url);
  pqxx::nontransaction transaction(connection);
  // Files of the log that are used again have their room already, five of them at most.
  for (int i = 0; i < 12; ++i) {
    transaction.exec("SELECT pg_logical_emit_message(false, 'test', 'full')");
    transaction.exec("SELECT pg_switch_wal()");
  }
}

void PrivateCluster::StartStandby(bool commits_wait) {
  const Node& primary = nodes_[0];
  const Node& standby = nodes_.at(1);
  PostgresScript("data " + Quoted(standby.folder));
  PostgresScript("copy " + Quoted(standby.folder) + " " +
                 Quoted(primary.url + "&application_name=standby"));
  StartCluster(standby.folder, kSettings);
  if (commits_wait) {
    Query(primary, "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
    Query(primary, "SELECT pg_reload_conf()");
  }
  const std::string sync_state = commits_wait ? "sync" : "async";
  WaitUntil(
      [&] {
        return Query(primary,
                     "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'standby' "
                     "AND state = 'streaming' AND sync_state = '" +
                         sync_state + "'") == "1";
      },
      "the standby does not keep up");
}

void PrivateCluster::CutOffStandby() {
  const std::string end = Query(nodes_[0], "SELECT pg_current_wal_flush_lsn()");
  WaitUntil(
      [&] {
        return Query(nodes_.at(1), "SELECT pg_last_wal_replay_lsn() >= '" + end + "'") == "t";
      },
      "the standby does not keep up");
  Query(nodes_[1], "ALTER SYSTEM SET primary_conninfo = ''");
  Query(nodes_[1], "SELECT pg_reload_conf()");
  WaitUntil([&] { return Query(nodes_[0], "SELECT count(*) FROM pg_stat_replication") == "0"; },
            "the standby is not cut off");
}

void PrivateCluster::FailOver() {
  Abort();
  // A copy of the primary's configuration; nobody would keep the new primary company.
  Query(nodes_.at(1), "ALTER SYSTEM RESET synchronous_standby_names");
  Query(nodes_[1], "SELECT pg_reload_conf()");
  PostgresScript("promote " + Quoted(nodes_[1].folder));
  std::swap(nodes_[0], nodes_[1]);
  // Fenced: it never comes back.
  PostgresScript("stop " + Quoted(nodes_[1].folder));
}

}  // namespace im::testing
