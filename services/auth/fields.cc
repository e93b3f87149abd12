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

absl::Status CheckDevice(const DeviceDescription& device) {
  IM_RETURN_IF_ERROR(CheckText("device.name", device.name, kMostNameCharacters));
  return CheckText("device.platform", device.platform, kMostNameCharacters);
}

}  // namespace im::auth
