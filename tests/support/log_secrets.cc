#include "tests/support/log_secrets.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <iostream>
#include <mutex>
#include <pqxx/pqxx>

#include "im/chat/v1/entries.pb.h"

namespace im::testing {
namespace {

std::mutex g_mu;
std::vector<std::string>& Registered() {
  static auto* const secrets = new std::vector<std::string>;
  return *secrets;
}

// Each of one column. What people said, at whatever length; and the rest.
constexpr const char* kSaid[] = {
    "SELECT greeting FROM chat.contacts",
    "SELECT title FROM chat.conversations",
    "SELECT bio FROM auth.accounts",
};
constexpr const char* kOther[] = {
    "SELECT display_name FROM auth.accounts",
    "SELECT password_hash FROM auth.accounts",
    "SELECT name FROM auth.devices",
    "SELECT encode(family_hash, 'hex') FROM auth.devices",
    "SELECT encode(secret_hash, 'hex') FROM auth.devices",
    "SELECT encode(unnest(other_secret_hashes), 'hex') FROM auth.devices",
    "SELECT encode(name_hash, 'hex') FROM auth.login_failures",
    // Its second line: the first of them says only what it is.
    "SELECT split_part(private_pem, chr(10), 2) FROM auth.signing_keys",
};

uint64_t HeadOf(const char* text) {
  uint64_t head = 0;
  std::memcpy(&head, text, sizeof head);
  return head;
}

bool IsLetter(char c) {
  // Bytes of other scripts are letters, too.
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0x80;
}
bool IsOfAWord(char c) {
  return IsLetter(c) || std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '_';
}

bool IsAWord(std::string_view log, size_t at, size_t size) {
  return (at == 0 || !IsOfAWord(log[at - 1])) &&
         (at + size == log.size() || !IsOfAWord(log[at + size]));
}

std::string LineAround(std::string_view log, size_t at) {
  const size_t before = log.rfind('\n', at);
  const size_t begin = before == std::string_view::npos ? 0 : before + 1;
  return std::string(log.substr(begin, log.find('\n', at) - begin));
}

// The header of a JWT of ours, {"alg":..., begins so in base64.
constexpr std::string_view kToken = "eyJhbGciOi";
constexpr std::string_view kOtherToken = "eyJ0eXAiOi";

}  // namespace

void RegisterSecret(const std::string& secret) {
  const std::lock_guard<std::mutex> lock(g_mu);
  Registered().push_back(secret);
}

LogSecrets::LogSecrets() {
  Add(std::string(kToken));
  Add(std::string(kOtherToken));
  const std::lock_guard<std::mutex> lock(g_mu);
  for (const std::string& secret : Registered()) Add(secret);
}

void LogSecrets::Add(const std::string& secret) {
  if (secret.size() < kLeast || !known_.insert(secret).second) return;
  by_head_[HeadOf(secret.data())].push_back(secret);
}

void LogSecrets::AddSaid(const std::string& text) {
  if (text.size() >= kLeast) return Add(text);
  if (text.size() < 2 || std::none_of(text.begin(), text.end(), IsLetter)) return;
  if (known_.insert(text).second) words_[text.substr(0, 2)].push_back(text);
}

bool LogSecrets::AddFrom(const std::string& database_url) {
  try {
    // A database that was stopped by a test answers never.
    pqxx::connection connection(database_url + (database_url.find('?') == std::string::npos
                                                    ? "?connect_timeout=5"
                                                    : "&connect_timeout=5"));
    pqxx::nontransaction transaction(connection);
    for (const pqxx::row& row : transaction.exec("SELECT kind, content FROM chat.entries")) {
      chat::v1::Entry entry;
      if (row[0].as<int>() != chat::v1::Entry::kMessageFieldNumber) continue;
      entry.mutable_message()->ParseFromString(pqxx::binarystring(row[1]).str());
      AddSaid(entry.message().text().body());
    }
    for (const char* query : kSaid) {
      for (const pqxx::row& row : transaction.exec(query)) AddSaid(row[0].c_str());
    }
    for (const char* query : kOther) {
      for (const pqxx::row& row : transaction.exec(query)) Add(row[0].c_str());
    }
    return true;
  } catch (const pqxx::failure& failure) {
    std::cerr << "secrets not read: " << failure.what() << "\n";
    return false;
  }
}

void LogSecrets::FindAt(std::string_view log, size_t at, bool with_words,
                        std::vector<std::string>* found) const {
  const auto add = [&](const std::string& secret) {
    found->push_back("\"" + secret + "\" in: " + LineAround(log, at));
  };
  if (at + kLeast <= log.size()) {
    const auto candidates = by_head_.find(HeadOf(log.data() + at));
    if (candidates != by_head_.end()) {
      for (const std::string& secret : candidates->second) {
        if (log.substr(at, secret.size()) == secret) add(secret);
      }
    }
  }
  if (!with_words || words_.empty() || (at > 0 && IsOfAWord(log[at - 1]))) return;
  const auto words = words_.find(std::string(log.substr(at, 2)));
  if (words == words_.end()) return;
  for (const std::string& word : words->second) {
    if (log.substr(at, word.size()) == word && IsAWord(log, at, word.size())) add(word);
  }
}

std::vector<std::string> LogSecrets::FindIn(std::string_view log, bool words) const {
  std::vector<std::string> found;
  for (size_t at = 0; at < log.size(); ++at) FindAt(log, at, words, &found);
  return found;
}

}  // namespace im::testing
