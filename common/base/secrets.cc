#include "common/base/secrets.h"

#include <algorithm>
#include <cctype>

namespace im {
namespace {

struct Range {
  size_t begin = std::string_view::npos;
  size_t end = 0;
};

constexpr std::string_view kBlanks = " \t\r\n";

// What lies between the user's colon and the last @ of the word.
Range FindInUrl(std::string_view text, size_t from) {
  for (size_t at = text.find("://", from); at != std::string_view::npos;
       at = text.find("://", at + 3)) {
    const size_t word_end = std::min(text.find_first_of(kBlanks, at), text.size());
    // The query may hold an @ of its own.
    const size_t end = std::min(text.find('?', at), word_end);
    const size_t sign = text.substr(0, end).rfind('@');
    const size_t colon = text.find(':', at + 3);
    if (sign == std::string_view::npos || sign < at || colon >= sign) continue;
    if (colon + 1 < sign) return {colon + 1, sign};
  }
  return {};
}

// "password=x", "password = 'x y'", "?password=x&": of libpq's password and sslpassword.
Range FindKey(std::string_view text, size_t from) {
  constexpr std::string_view kKey = "password";
  for (size_t at = text.find(kKey, from); at != std::string_view::npos;
       at = text.find(kKey, at + 1)) {
    size_t begin = text.find_first_not_of(kBlanks, at + kKey.size());
    if (begin == std::string_view::npos || text[begin] != '=') continue;
    begin = text.find_first_not_of(kBlanks, begin + 1);
    if (begin == std::string_view::npos) continue;
    size_t end = begin;
    if (text[begin] == '\'') {
      end = begin + 1;
      while (end < text.size() && text[end] != '\'') end += text[end] == '\\' ? 2 : 1;
      end = std::min(end + 1, text.size());
    } else {
      end = std::min(text.find_first_of(" \t\r\n&\"", begin), text.size());
    }
    if (end > begin) return {begin, end};
  }
  return {};
}

Range FindFirst(std::string_view text, size_t from) {
  const Range url = FindInUrl(text, from), key = FindKey(text, from);
  return url.begin <= key.begin ? url : key;
}

}  // namespace

bool HoldsPassword(std::string_view text) {
  return FindFirst(text, 0).begin != std::string_view::npos;
}

std::string WithoutPasswords(std::string_view text) {
  std::string clean;
  size_t done = 0;
  for (Range range = FindFirst(text, 0); range.begin != std::string_view::npos;
       range = FindFirst(text, done)) {
    clean.append(text.substr(done, range.begin - done)).append("***");
    done = range.end;
  }
  return clean.append(text.substr(done));
}

std::string FindPassword(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const Range range = FindFirst(word, 0);
    if (range.begin == std::string_view::npos) continue;
    return std::string(word.substr(0, range.begin)) + "***";
  }
  return {};
}

std::string PasswordAdvice(const std::string& word) {
  return "a password on the command line (" + word +
         ") can be read by everybody on this machine: put it into the configuration file, the "
         "environment, or a file that the URL names (?passfile=PATH)";
}

}  // namespace im
