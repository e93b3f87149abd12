#include "common/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"

namespace im {
namespace {

thread_local std::string t_request_id;

struct State {
  std::shared_ptr<spdlog::logger> logger;
  bool json = false;
  std::string service;
};

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::shared_ptr<spdlog::logger> MakeLogger(const LogOptions& options) {
  auto logger =
      std::make_shared<spdlog::logger>("im", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(ToSpdlog(options.level));
  logger->flush_on(spdlog::level::debug);
  logger->set_pattern(options.json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v})"
                                   : "%Y-%m-%d %H:%M:%S.%e %L %v");
  return logger;
}

State& GetState() {
  static State* state = new State{MakeLogger({}), false, ""};
  return *state;
}

void AppendQuoted(std::string* out, std::string_view text) {
  out->push_back('"');
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppend(out, "\\u00", absl::Hex(byte, absl::kZeroPad2));
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

bool IsPlain(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (c <= ' ' || c == '"' || c == '\\' || c == '=' || c == 0x7f) return false;
  }
  return true;
}

void AppendField(std::string* out, bool json, const LogField& field) {
  if (json) {
    out->push_back(',');
    AppendQuoted(out, field.key);
    out->push_back(':');
    if (field.quoted) {
      AppendQuoted(out, field.value);
    } else {
      out->append(field.value);
    }
    return;
  }
  out->push_back(' ');
  out->append(field.key);
  out->push_back('=');
  if (field.quoted && !IsPlain(field.value)) {
    AppendQuoted(out, field.value);
  } else {
    out->append(field.value);
  }
}

}  // namespace

void InitLog(const LogOptions& options) {
  State& state = GetState();
  state.logger = MakeLogger(options);
  state.json = options.json;
  state.service = options.service;
}

bool LogEnabled(LogLevel level) { return GetState().logger->should_log(ToSpdlog(level)); }

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  State& state = GetState();
  if (!state.logger->should_log(ToSpdlog(level))) return;
  std::string line;
  if (state.json) {
    line.append(R"("event":)");
    AppendQuoted(&line, event);
    if (!state.service.empty()) AppendField(&line, true, {"service", state.service});
  } else {
    line.append(event);
  }
  if (!t_request_id.empty()) AppendField(&line, state.json, {"request", t_request_id});
  for (const LogField& field : fields) AppendField(&line, state.json, field);
  state.logger->log(ToSpdlog(level), spdlog::string_view_t(line));
}

std::string Describe(const absl::Status& status) {
  std::string text = absl::StatusCodeToString(status.code());
  if (const auto reason = ReasonOf(status)) {
    absl::StrAppend(&text, " ", std::string(ReasonName(*reason)));
  }
  absl::StrAppend(&text, ": ", status.message());
  return text;
}

LogContext::LogContext(std::string request_id) : previous_(std::move(t_request_id)) {
  t_request_id = std::move(request_id);
}
LogContext::~LogContext() { t_request_id = std::move(previous_); }
const std::string& LogContext::RequestId() { return t_request_id; }

}  // namespace im
