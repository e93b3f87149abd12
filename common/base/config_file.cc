#include "common/base/config_file.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace im {
namespace {

// What stands behind the backslash, and what it means.
constexpr absl::string_view kEscapes = "\"\\nrt";
constexpr absl::string_view kEscaped = "\"\\\n\r\t";

absl::Status Wrong(absl::string_view what) { return absl::InvalidArgumentError(what); }

bool EndsHere(absl::string_view rest) {
  rest = absl::StripLeadingAsciiWhitespace(rest);
  return rest.empty() || rest.front() == '#';
}

// `rest` begins behind the opening quote, and ends up behind the closing one.
absl::StatusOr<std::string> ReadQuoted(char quote, absl::string_view* rest) {
  std::string value;
  for (size_t at = 0; at < rest->size(); ++at) {
    char c = (*rest)[at];
    if (c == quote) {
      rest->remove_prefix(at + 1);
      return value;
    }
    if (c == '\\' && quote == '"') {
      const size_t escape = ++at < rest->size() ? kEscapes.find((*rest)[at]) : kEscapes.npos;
      if (escape == kEscapes.npos) {
        return Wrong("\\ within \"\" stands before one of \" \\ n r t; '' take it as it is");
      }
      c = kEscaped[escape];
    }
    value += c;
  }
  return Wrong("a quote is not closed");
}

// All of what stands behind the =.
absl::StatusOr<std::string> ReadValue(absl::string_view text) {
  text = absl::StripLeadingAsciiWhitespace(text);
  if (!text.empty() && (text.front() == '"' || text.front() == '\'')) {
    const char quote = text.front();
    text.remove_prefix(1);
    auto value = ReadQuoted(quote, &text);
    if (value.ok() && !EndsHere(text)) return Wrong("something stands behind the closing quote");
    return value;
  }
  const absl::string_view bare = absl::StripAsciiWhitespace(text.substr(0, text.find('#')));
  if (bare.empty()) return Wrong("a value is missing; an empty one is \"\"");
  if (bare.find_first_of(" \t\"'") != bare.npos) {
    return Wrong("a value with blanks or quotes in it stands in quotes");
  }
  if (bare.front() == '[' && bare.back() == ']') {
    return Wrong("a list is one text, with commas in it");
  }
  return std::string(bare);
}

bool IsName(absl::string_view text) {
  const auto fits = [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.';
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), fits);
}

absl::StatusOr<std::string> ReadSection(absl::string_view line) {
  const size_t end = line.find(']');
  if (end == line.npos || !EndsHere(line.substr(end + 1))) return Wrong("not [SECTION]");
  const absl::string_view name = absl::StripAsciiWhitespace(line.substr(1, end - 1));
  if (!IsName(name)) return Wrong("not [SECTION]");
  return std::string(name);
}

absl::StatusOr<ConfigValues::value_type> ReadEntry(const std::string& section,
                                                   absl::string_view line) {
  const size_t equals = line.find('=');
  if (equals == line.npos) return Wrong("neither [SECTION] nor KEY = VALUE");
  const absl::string_view name = absl::StripTrailingAsciiWhitespace(line.substr(0, equals));
  if (!IsName(name)) return Wrong("not KEY = VALUE");
  if (section.empty()) return Wrong("KEY = VALUE stands in a [SECTION]");
  auto value = ReadValue(line.substr(equals + 1));
  if (!value.ok()) return value.status();
  return ConfigValues::value_type(absl::StrCat(section, ".", name), *std::move(value));
}

}  // namespace

absl::StatusOr<ConfigValues> ReadConfigFile(std::istream& input) {
  ConfigValues values;
  std::string section, text;
  for (int number = 1; std::getline(input, text); ++number) {
    const auto error = [number](const absl::Status& status) {
      return Wrong(absl::StrCat("line ", number, ": ", status.message()));
    };
    const absl::string_view line = absl::StripAsciiWhitespace(text);
    if (EndsHere(line)) continue;
    if (line.front() == '[') {
      auto name = ReadSection(line);
      if (!name.ok()) return error(name.status());
      section = *std::move(name);
      continue;
    }
    auto entry = ReadEntry(section, line);
    if (!entry.ok()) return error(entry.status());
    const auto [at, is_new] = values.insert(*std::move(entry));
    if (!is_new) return error(Wrong(at->first + " is set twice"));
  }
  return values;
}

std::string QuotedConfigValue(std::string_view value) {
  std::string quoted = "\"";
  for (const char c : value) {
    const size_t escape = kEscaped.find(c);
    if (escape == kEscaped.npos) {
      quoted += c;
    } else {
      quoted += '\\';
      quoted += kEscapes[escape];
    }
  }
  return quoted + '"';
}

}  // namespace im
