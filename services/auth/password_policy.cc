#include "services/auth/password_policy.h"

#include <algorithm>
#include <array>
#include <vector>

#include "common/base/error.h"
#include "common/base/text.h"
#include "services/auth/common_passwords.h"
#include "services/auth/user_name.h"

namespace im::auth {
namespace {

constexpr size_t kLeastBytes = 8;
constexpr size_t kMostBytes = 256;

constexpr std::array<std::string_view, 9> kRuns = {
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1q2w3e4r5t6y7u8i9o0p",
    "qazwsxedcrfvtgbyhnujmikolp",
};

// A piece of one of the runs, forwards or backwards.
bool IsRun(std::string_view text) {
  const std::string reversed(text.rbegin(), text.rend());
  return std::any_of(kRuns.begin(), kRuns.end(), [&](std::string_view run) {
    return run.find(text) != std::string_view::npos || run.find(reversed) != std::string_view::npos;
  });
}

// One piece of up to four bytes over and over: "aaaaaaaa", "abcabcabc", "20242024".
bool IsRepetition(std::string_view text) {
  for (size_t period = 1; period <= 4; ++period) {
    bool repeats = text.size() >= 2 * period;
    for (size_t i = period; repeats && i < text.size(); ++i) {
      repeats = text[i] == text[i - period];
    }
    if (repeats) return true;
  }
  return false;
}

bool IsLetter(char c) { return c >= 'a' && c <= 'z'; }

// Without the digits and marks around it, also those that the rules of other sites made people add.
std::string_view Core(std::string_view text) {
  while (!text.empty() && !IsLetter(text.back())) text.remove_suffix(1);
  while (!text.empty() && !IsLetter(text.front())) text.remove_prefix(1);
  return text;
}

std::string WithLettersForDigits(std::string_view text) {
  std::string letters(text);
  for (char& c : letters) {
    switch (c) {
      case '0':
        c = 'o';
        break;
      case '1':
        c = 'i';
        break;
      case '3':
        c = 'e';
        break;
      case '4':
      case '@':
        c = 'a';
        break;
      case '5':
      case '$':
        c = 's';
        break;
      case '7':
        c = 't';
        break;
      default:
        break;
    }
  }
  return letters;
}

bool IsKnown(std::string_view text) {
  const std::vector<std::string_view>& words = CommonPasswordWords();
  return std::binary_search(words.begin(), words.end(), text);
}

}  // namespace

bool IsCommonPassword(std::string_view password) {
  const std::string folded = Fold(password);
  if (IsRepetition(folded) || IsRun(folded)) return true;
  const std::string_view core = Core(folded);
  if (IsKnown(folded) || IsKnown(WithLettersForDigits(folded))) return true;
  // "qwerty12345", "Summer2024!". A core of three letters says nothing.
  return core.size() >= 4 && (IsRun(core) || IsRepetition(core) || IsKnown(core) ||
                              IsKnown(WithLettersForDigits(core)));
}

absl::Status CheckPassword(std::string_view field, std::string_view password,
                           std::string_view user_name) {
  ErrorDetails details;
  const auto refuse = [&](std::string_view why) {
    details.violations.push_back({std::string(field), std::string(why)});
  };
  if (password.size() < kLeastBytes) refuse("shorter than 8 bytes");
  if (password.size() > kMostBytes) refuse("longer than 256 bytes");
  if (!IsText(password)) refuse("not UTF-8 text, or holds a NUL");
  if (!user_name.empty() && Fold(password).find(user_name) != std::string::npos) {
    refuse("holds the user name");
  }
  if (password.size() >= kLeastBytes && password.size() <= kMostBytes &&
      IsCommonPassword(password)) {
    refuse("a common password, or nearly one");
  }
  if (details.violations.empty()) return absl::OkStatus();
  std::string message = "the password is refused:";
  for (const Violation& violation : details.violations) {
    message += (&violation == details.violations.data() ? " " : ", ") + violation.description;
  }
  return Error(Reason::PASSWORD_REFUSED, message, details);
}

}  // namespace im::auth
