// What commands print: tables for people, JSON for programs.
#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace im::imctl {

// Further members of a JSON object: name and value, both plain text.
using JsonFields = std::vector<std::pair<std::string, std::string>>;

// `text` as a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD.
std::string JsonString(std::string_view text);

// The message in proto3's JSON mapping with the protos' own field names and all fields present,
// `extra` first; one line.
std::string ToJson(const google::protobuf::Message& message, const JsonFields& extra = {});

// "2026-11-21 14:03:59", local time; "-" for none.
std::string FormatTime(const google::protobuf::Timestamp& at);
// "14:03:59", with the date before it unless it is today's.
std::string FormatShortTime(const google::protobuf::Timestamp& at);

// A table with a heading. Cells are escaped here.
class Table {
 public:
  explicit Table(std::vector<std::string> heading) { rows_.push_back(std::move(heading)); }

  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // Prints it, or `if_empty` if there are no rows.
  void Print(std::string_view if_empty) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// To standard output, with a line break, at once. After a failure nothing more is printed.
void PrintLine(std::string_view line);
// The same for an escaped text; on a terminal wrapped, with `indent` before what does not fit.
void PrintText(std::string_view text, std::string_view indent);
// DATA_LOSS once something could not be printed.
absl::Status OutputStatus();

}  // namespace im::imctl
