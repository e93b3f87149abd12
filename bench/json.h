// A JSON object, for results.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace im::bench {

// Members stand in the order added. Names need no escaping.
class JsonObject {
 public:
  JsonObject& Add(std::string_view name, int64_t value) { return Put(name, absl::StrCat(value)); }
  JsonObject& Add(std::string_view name, int value) { return Add(name, int64_t{value}); }
  JsonObject& Add(std::string_view name, double value) {
    // JSON knows no infinities.
    return Put(name, absl::StrFormat("%.3f", std::isfinite(value) ? value : 0.0));
  }
  JsonObject& Add(std::string_view name, const JsonObject& value) {
    return Put(name, value.text());
  }
  JsonObject& Add(std::string_view name, const std::string& value) {
    std::string quoted = "\"";
    for (const char c : value) {
      if (c == '"' || c == '\\') {
        quoted += {'\\', c};
      } else if (static_cast<unsigned char>(c) < 0x20) {
        quoted += absl::StrFormat("\\u%04x", static_cast<int>(c));
      } else {
        quoted += c;
      }
    }
    return Put(name, quoted + '"');
  }
  JsonObject& Add(std::string_view name, const char* value) {
    return Add(name, std::string(value));
  }

  // The members of another.
  JsonObject& AddAll(const JsonObject& other) {
    if (!members_.empty() && !other.members_.empty()) members_ += ", ";
    members_ += other.members_;
    return *this;
  }

  std::string text() const { return "{" + members_ + "}"; }

 private:
  JsonObject& Put(std::string_view name, const std::string& value) {
    if (!members_.empty()) members_ += ", ";
    members_ += '"';
    members_.append(name);
    members_ += "\": " + value;
    return *this;
  }

  std::string members_;
};

}  // namespace im::bench
