// How this service's values come out of PostgreSQL.
#pragma once

#include <optional>
#include <pqxx/pqxx>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "services/auth/values.h"

namespace im::auth {

// From auth.micros(...).
inline Time ReadTime(const pqxx::field& field) { return FromMicros(field.as<int64_t>()); }
inline std::optional<Time> ReadOptionalTime(const pqxx::field& field) {
  if (field.is_null()) return std::nullopt;
  return ReadTime(field);
}

// From array_to_string(ids, ',').
inline std::vector<int64_t> ReadIds(const pqxx::field& field) {
  std::vector<int64_t> ids;
  const std::string text = field.as<std::string>();
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    int64_t id = 0;
    if (absl::SimpleAtoi(part, &id)) ids.push_back(id);
  }
  return ids;
}

}  // namespace im::auth
