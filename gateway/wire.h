// Reading and writing Protobuf's wire format one field at a time, so that what is only passed on is
// neither parsed nor copied, and a frame's broken submessage is the service's to refuse.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace im::gateway::wire {

enum class Type { kVarint = 0, kFixed64 = 1, kBytes = 2, kGroup = 3, kFixed32 = 5 };

struct Field {
  uint32_t number = 0;
  Type type = Type::kVarint;
  uint64_t varint = 0;     // of kVarint
  std::string_view bytes;  // of kBytes
};

// Goes through the fields of a message; groups are skipped as a whole.
class Reader {
 public:
  explicit Reader(std::string_view message) : rest_(message) {}
  // false: at the end, or at something that is no field.
  bool Next(Field* field);
  // Whether all that was read made sense.
  bool ok() const { return ok_; }

 private:
  bool Fail();
  bool Varint(uint64_t* value);
  bool Tag(uint32_t* tag);
  bool Skip(Type type, uint32_t number, int depth, Field* field);

  std::string_view rest_;
  bool ok_ = true;
};

// The value of a varint field; nullopt if it is not there or the message makes no sense.
std::optional<uint64_t> FindVarint(std::string_view message, uint32_t number);

void AppendVarint(uint64_t value, std::string* out);
void AppendVarintField(uint32_t number, uint64_t value, std::string* out);
void AppendBytesField(uint32_t number, std::string_view bytes, std::string* out);
size_t BytesFieldSize(uint32_t number, size_t bytes);

}  // namespace im::gateway::wire
