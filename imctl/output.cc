#include "imctl/output.h"

#include <google/protobuf/util/json_util.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "imctl/escape.h"
#include "imctl/terminal.h"

namespace im::imctl {

std::string JsonString(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const Character c = FirstCharacter(text);
    char buffer[16];
    if (c.value < 0) {
      out += "\xef\xbf\xbd";
    } else if (c.value == '"' || c.value == '\\') {
      out += '\\';
      out += text[0];
    } else if (c.value < 0x20 || c.value == 0x7f) {
      snprintf(buffer, sizeof buffer, "\\u%04x", static_cast<unsigned>(c.value));
      out += buffer;
    } else {
      out += text.substr(0, c.length);
    }
    text.remove_prefix(c.length);
  }
  return out + '"';
}

std::string ToJson(const google::protobuf::Message& message, const JsonFields& extra) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string fields;
  // Every message of ours can be printed; none holds an Any.
  if (!google::protobuf::util::MessageToJsonString(message, &fields, options).ok()) return "{}";
  std::string out = "{";
  for (const auto& [name, value] : extra) {
    if (out.size() > 1) out += ',';
    out += JsonString(name) + ":" + JsonString(value);
  }
  if (out.size() > 1 && fields != "{}") out += ',';
  return out + fields.substr(1);
}

namespace {

std::string Format(const google::protobuf::Timestamp& at, const char* format) {
  const time_t seconds = static_cast<time_t>(at.seconds());
  tm local{};
  localtime_r(&seconds, &local);
  char buffer[32];
  return std::string(buffer, strftime(buffer, sizeof buffer, format, &local));
}

}  // namespace

std::string FormatTime(const google::protobuf::Timestamp& at) {
  if (at.seconds() == 0) return "-";
  return Format(at, "%Y-%m-%d %H:%M:%S");
}

std::string FormatShortTime(const google::protobuf::Timestamp& at) {
  google::protobuf::Timestamp now;
  now.set_seconds(time(nullptr));
  const bool today = Format(at, "%Y-%m-%d") == Format(now, "%Y-%m-%d");
  return today ? Format(at, "%H:%M:%S") : FormatTime(at);
}

void Table::Print(std::string_view if_empty) const {
  if (rows_.size() == 1) return PrintLine(if_empty);
  std::vector<int> widths(rows_[0].size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], DisplayWidth(Escape(row[i])));
    }
  }
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string cell = Escape(row[i]);
      line += cell;
      if (i + 1 < row.size()) line.append(widths[i] - DisplayWidth(cell) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    PrintText(line, "    ");
  }
}

namespace {

// The errno of the first failure of PrintLine.
int g_output_error = 0;

}  // namespace

void PrintLine(std::string_view line) {
  if (g_output_error != 0) return;
  if (fwrite(line.data(), 1, line.size(), stdout) != line.size() || fputc('\n', stdout) == EOF ||
      fflush(stdout) != 0) {
    g_output_error = errno;
  }
}

void PrintText(std::string_view text, std::string_view indent) {
  PrintLine(Wrap(text, indent, ScreenWidth()));
}

absl::Status OutputStatus() {
  if (g_output_error == 0) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("cannot write to standard output: ", std::strerror(g_output_error)));
}

}  // namespace im::imctl
