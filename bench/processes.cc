#include "bench/processes.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace im::bench {
namespace {

using std::chrono::microseconds;

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

microseconds Ticks(int64_t ticks) { return microseconds(ticks * 1'000'000 / sysconf(_SC_CLK_TCK)); }

// proc(5): after the name in parentheses, which may hold anything, the 14th field is utime.
std::vector<int64_t> StatFields(int pid) {
  const std::string text = Read(absl::StrCat("/proc/", pid, "/stat"));
  const size_t after = text.rfind(')');
  std::vector<int64_t> fields;
  if (after == std::string::npos) return fields;
  std::stringstream rest(text.substr(after + 2));
  std::string state;
  rest >> state;
  for (int64_t field = 0; rest >> field;) fields.push_back(field);
  return fields;
}

// In kilobytes there.
int64_t Memory(const std::string& path, const std::string& key) {
  std::stringstream text(Read(path));
  for (std::string line; std::getline(text, line);) {
    if (line.rfind(key, 0) == 0) return std::stoll(line.substr(key.size())) * 1024;
  }
  return 0;
}

ProcessUse Look(int pid) {
  ProcessUse use;
  const std::vector<int64_t> fields = StatFields(pid);
  if (fields.size() < 14) return use;
  use.cpu = Ticks(fields[10] + fields[11]);
  use.rss_bytes = Memory(absl::StrCat("/proc/", pid, "/status"), "VmRSS:");
  return use;
}

ProcessUse LookAtPostgres(int postmaster) {
  ProcessUse use;
  const std::vector<int64_t> fields = StatFields(postmaster);
  if (fields.size() < 14) return use;
  // Its own, and that of children it has waited for.
  use.cpu = Ticks(fields[10] + fields[11] + fields[12] + fields[13]);
  use.rss_bytes = Memory(absl::StrCat("/proc/", postmaster, "/smaps_rollup"), "Pss:");
  std::stringstream children(
      Read(absl::StrCat("/proc/", postmaster, "/task/", postmaster, "/children")));
  for (int child = 0; children >> child;) {
    use.cpu += Look(child).cpu;
    use.rss_bytes += Memory(absl::StrCat("/proc/", child, "/smaps_rollup"), "Pss:");
  }
  return use;
}

}  // namespace

ProcessUses LookAtProcesses(const Target& target) {
  ProcessUses uses;
  uses["bench"] = Look(getpid());
  if (target.home.empty()) return uses;
  for (const char* name : {"auth", "chat", "presence", "gateway", "postgres"}) {
    std::stringstream text(Read(absl::StrCat(target.home, "/service/", name, "/supervise/pid")));
    int pid = 0;
    if (!(text >> pid)) continue;
    uses[name] = name == std::string("postgres") ? LookAtPostgres(pid) : Look(pid);
  }
  return uses;
}

ProcessShares Between(const ProcessUses& first, const ProcessUses& second, double seconds) {
  ProcessShares shares;
  for (const auto& [name, after] : second) {
    const auto before = first.find(name);
    if (before == first.end()) continue;
    ProcessShare& share = shares[name];
    share.cpu = after.cpu - before->second.cpu;
    share.cpu_share = seconds > 0 ? static_cast<double>(share.cpu.count()) / 1e6 / seconds : 0;
    share.rss_bytes = after.rss_bytes;
  }
  return shares;
}

JsonObject ToJson(const ProcessShares& shares) {
  JsonObject object;
  for (const auto& [name, share] : shares) {
    JsonObject one;
    one.Add("cpu_share", share.cpu_share).Add("rss_bytes", share.rss_bytes);
    object.Add(name, one);
  }
  return object;
}

std::string ToText(const ProcessShares& shares) {
  std::string text = "cores, memory:";
  for (const auto& [name, share] : shares) {
    absl::StrAppendFormat(&text, " %s %.2f %d MB,", name, share.cpu_share,
                          share.rss_bytes / 1'000'000);
  }
  text.pop_back();
  return text;
}

}  // namespace im::bench
