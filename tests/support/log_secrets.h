// What no log may hold: what people wrote, and whatever lets somebody in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace im::testing {

// From now on a secret of this process' tests: a password, a token. Thread-safe.
void RegisterSecret(const std::string& secret);

// Not thread-safe.
class LogSecrets {
 public:
  // Shorter ones are found as words of their own only.
  static constexpr size_t kLeast = 8;

  // With those registered so far.
  LogSecrets();

  // Nothing shorter than kLeast: that could be part of what a log may say.
  void Add(const std::string& secret);
  // Also what is shorter, as a word of its own; but for a single letter, and for numbers.
  void AddSaid(const std::string& text);
  // All that a database of IM holds of the kind: bodies, titles, greetings, what people say of
  // themselves and call their devices, hashes, private keys. False: it could not be read.
  bool AddFrom(const std::string& database_url);

  // Those that a log holds, with their lines; and anything that looks like a token of ours.
  // `words`: what is shorter than kLeast, too; not where a log says sentences by itself.
  std::vector<std::string> FindIn(std::string_view log, bool words = true) const;

 private:
  void FindAt(std::string_view log, size_t at, bool words, std::vector<std::string>* found) const;

  std::unordered_set<std::string> known_;
  // By their first two.
  std::unordered_map<std::string, std::vector<std::string>> words_;
  // By their first eight bytes.
  std::unordered_map<uint64_t, std::vector<std::string>> by_head_;
};

}  // namespace im::testing
