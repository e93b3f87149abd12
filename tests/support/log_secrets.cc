#include "tests/support/log_secrets.h"

#include <cstring>
#include <iostream>
#include <mutex>
#include <pqxx/pqxx>

namespace im::testing {
namespace {

std::mutex g_mu;
std::vector<std::string>& Registered() {
  static auto* const secrets = new std::vector<std::string>;
  return *secrets;
}

// Each of one column, text or bytea.
constexpr const char* kQueries[] = {
    "SELECT content FROM chat.entries",
    "SELECT greeting FROM chat.contacts",
    "SELECT title FROM chat.conversations",
    "SELECT display_name FROM auth.accounts",
    "SELECT bio FROM auth.accounts",
    "SELECT password_hash FROM auth.accounts",
    "SELECT name FROM auth.devices",
    "SELECT encode(family_hash, 'hex') FROM auth.devices",
    "SELECT encode(secret_hash, 'hex') FROM auth.devices",
    "SELECT encode(name_hash, 'hex') FROM auth.login_failures",
    // Its second line: the first of them says only what it is.
    "SELECT split_part(private_pem, chr(10), 2) FROM auth.signing_keys",
};

bool ReadVarint(std::string_view* bytes, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64 && !bytes->empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes->front());
    bytes->remove_prefix(1);
    *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

// The strings and bytes in a serialised message, whatever message it is; and some that are none.
void AddFields(std::string_view bytes, std::vector<std::string>* texts) {
  uint64_t tag = 0, size = 0;
  while (ReadVarint(&bytes, &tag) && ReadVarint(&bytes, &size)) {
    if ((tag & 7) == 0) continue;  // a number
    if ((tag & 7) != 2 || size > bytes.size()) return;
    texts->emplace_back(bytes.substr(0, size));
    AddFields(bytes.substr(0, size), texts);
    bytes.remove_prefix(size);
  }
}

uint64_t HeadOf(const char* text) {
  uint64_t head = 0;
  std::memcpy(&head, text, sizeof head);
  return head;
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

bool LogSecrets::AddFrom(const std::string& database_url) {
  try {
    // A database that was stopped by a test answers never.
    pqxx::connection connection(database_url + (database_url.find('?') == std::string::npos
                                                    ? "?connect_timeout=5"
                                                    : "&connect_timeout=5"));
    pqxx::nontransaction transaction(connection);
    for (const char* query : kQueries) {
      for (const pqxx::row& row : transaction.exec(query)) {
        const bool bytes = row[0].type() == 17;  // bytea
        std::vector<std::string> texts;
        if (bytes) {
          AddFields(pqxx::binarystring(row[0]).str(), &texts);
        } else {
          texts.emplace_back(row[0].c_str());
        }
        for (const std::string& text : texts) Add(text);
      }
    }
    return true;
  } catch (const pqxx::failure& failure) {
    std::cerr << "secrets not read: " << failure.what() << "\n";
    return false;
  }
}

std::vector<std::string> LogSecrets::FindIn(std::string_view log) const {
  std::vector<std::string> found;
  for (size_t at = 0; at + kLeast <= log.size(); ++at) {
    const auto candidates = by_head_.find(HeadOf(log.data() + at));
    if (candidates == by_head_.end()) continue;
    for (const std::string& secret : candidates->second) {
      if (log.substr(at, secret.size()) != secret) continue;
      found.push_back("\"" + secret + "\" in: " + LineAround(log, at));
    }
  }
  return found;
}

}  // namespace im::testing
