#include "services/auth/fields.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/text.h"

namespace im::auth {

absl::Status CheckText(std::string_view field, std::string_view text, size_t most_characters) {
  if (!IsText(text)) return InvalidField(field, "not UTF-8 text, or holds a NUL");
  if (CountCharacters(text).value_or(0) > most_characters) {
    return InvalidField(field, absl::StrCat("longer than ", most_characters, " characters"));
  }
  return absl::OkStatus();
}

absl::Status CheckLine(std::string_view field, std::string_view text, size_t most_characters) {
  IM_RETURN_IF_ERROR(CheckText(field, text, most_characters));
  if (!IsLine(text)) return InvalidField(field, "holds line breaks or other control characters");
  return absl::OkStatus();
}

absl::Status CheckDevice(const DeviceDescription& device) {
  IM_RETURN_IF_ERROR(CheckLine("device.name", device.name, kMostNameCharacters));
  return CheckLine("device.platform", device.platform, kMostNameCharacters);
}

}  // namespace im::auth
