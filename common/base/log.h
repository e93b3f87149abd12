// Structured logs: an event name and key=value pairs, as text or one JSON object a line, on stderr.
//
//   Log(LogLevel::kInfo, "session_opened", {{"user", user_id}, {"device", device_id}});
//
// Thread-safe. Never give it message bodies, passwords, tokens or network addresses of people.
// While a LogContext lives on a thread, its lines carry that request id.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

#include "absl/status/status.h"

namespace im {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

class LogField {
 public:
  LogField(std::string_view key, std::string_view value) : key(key), value(value), quoted(true) {}
  LogField(std::string_view key, const std::string& value)
      : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, const char* value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, bool v) : key(key), value(v ? "true" : "false"), quoted(false) {}
  template <typename T>
  requires std::is_arithmetic_v<T> LogField(std::string_view key, T number)
      : key(key), value(std::to_string(number)), quoted(false) {}

  std::string_view key;
  std::string value;
  bool quoted;
};

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  bool json = false;
  std::string service;  // "auth", "chat", ...
};

// Call once, at the start of main; before it, lines go out as text at level info.
void InitLog(const LogOptions& options);
bool LogEnabled(LogLevel level);
void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

// The text for a log of a status: code, reason and message.
std::string Describe(const absl::Status& status);

class LogContext {
 public:
  explicit LogContext(std::string request_id);
  ~LogContext();
  LogContext(const LogContext&) = delete;
  LogContext& operator=(const LogContext&) = delete;

  // Of the calling thread; empty outside.
  static const std::string& RequestId();

 private:
  std::string previous_;
};

}  // namespace im
