// im-check: holds the data to the rules that the services rely on. Exit status: 0 nothing found, 1
// something found, 2 typed wrongly, 3 could not look.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/config.h"
#include "tools/check/check.h"

namespace im::check {
namespace {

constexpr int kFound = 1, kCouldNotLook = 3;
// More findings of one rule are counted only.
constexpr int64_t kMostOfARule = 100;

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    // What a rule says holds no line breaks, but a damaged row might.
    quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return quoted + "\"";
}

void PrintText(const Finding& finding) {
  std::string line = finding.rule + ":";
  for (const auto& [name, value] : finding.where) absl::StrAppend(&line, " ", name, "=", value);
  std::cout << line << ": " << finding.what << "\n";
}

void PrintJson(const Finding& finding) {
  std::string line = absl::StrCat("{\"rule\": ", Quoted(finding.rule));
  for (const auto& [name, value] : finding.where) {
    absl::StrAppend(&line, ", ", Quoted(name), ": ", Quoted(value));
  }
  std::cout << line << ", \"what\": " << Quoted(finding.what) << "}\n";
}

// On a terminal one line that moves, else one every ten seconds.
class Progress {
 public:
  void Show(const Totals& totals) {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    next_ = now + (terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(10));
    std::fprintf(stderr, "%slooked at %s%s", terminal_ ? "\r" : "", Counts(totals).c_str(),
                 terminal_ ? " " : "\n");
  }
  void Clear() const {
    if (terminal_) std::fputs("\r\033[K", stderr);
  }
  static std::string Counts(const Totals& totals) {
    return absl::StrCat(totals.conversations, " conversations, ", totals.entries, " entries, ",
                        totals.accounts, " accounts");
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
  std::chrono::steady_clock::time_point next_ =
      std::chrono::steady_clock::now() + std::chrono::seconds(1);
};

int Run(CheckOptions options, bool json) {
  std::map<std::string, int64_t> found;
  Progress progress;
  options.on_progress = [&progress](const Totals& totals) { progress.Show(totals); };
  options.on_finding = [&](const Finding& finding) {
    if (++found[finding.rule] > kMostOfARule) return;
    progress.Clear();
    json ? PrintJson(finding) : PrintText(finding);
  };
  const auto start = std::chrono::steady_clock::now();
  const auto totals = Check(options);
  progress.Clear();
  if (!totals.ok()) {
    std::cerr << "im-check: " << totals.status().message() << "\n";
    return kCouldNotLook;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  int64_t all = 0;
  for (const auto& [rule, count] : found) all += count;
  if (json) {
    std::cout << "{\"findings\": " << all << ", \"conversations\": " << totals->conversations
              << ", \"entries\": " << totals->entries << ", \"accounts\": " << totals->accounts
              << ", \"seconds\": " << took.count() << "}\n";
  } else {
    for (const auto& [rule, count] : found) {
      if (count > kMostOfARule) std::cout << rule << ": " << count << " in all\n";
    }
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.1f", took.count());
    std::cout << Progress::Counts(*totals) << " in " << seconds << " s: "
              << (all == 0 ? "everything is as it should be" : absl::StrCat(all, " findings"))
              << "\n";
  }
  std::cout.flush();
  return all == 0 ? 0 : kFound;
}

}  // namespace
}  // namespace im::check

int main(int argc, char** argv) {
  im::Config config("im-check", "Holds the data to the rules that the services rely on.");
  im::check::CheckOptions options;
  bool json = false;
  config
      .Add("database.url", &options.database_url,
           "PostgreSQL connection URL of im_owner, the owner of the schemas.")
      ->required();
  config.app().add_flag("--json", json, "One object per finding, and one at the end, a line each.");
  if (auto exit_code = config.Parse(argc, argv)) return *exit_code;
  return im::check::Run(options, json);
}
