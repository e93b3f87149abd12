// The file format of configurations, a small part of TOML (https://toml.io/en/v1.0.0):
//
//   # a comment
//   [section]
//   number = 5                  # bare: without blanks, quotes and # in it
//   text = "a \"b\" c"          # \" \\ \n \r \t are the escapes
//   path = '/as/it "stands"'
//
// Unlike in TOML, text may stand bare, too, and a section may come twice. There are no lists.
#pragma once

#include <istream>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace im {

// By "section.name".
using ConfigValues = std::map<std::string, std::string>;

// INVALID_ARGUMENT names the line: what is no entry, a quote that is not
// closed, a value that is missing, a key that is set twice.
absl::StatusOr<ConfigValues> ReadConfigFile(std::istream& input);

// As ReadConfigFile reads it back, whatever is in it.
std::string QuotedConfigValue(std::string_view value);

}  // namespace im
