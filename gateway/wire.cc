#include "gateway/wire.h"

namespace im::gateway::wire {
namespace {

// As deep as Protobuf's own parsers go.
constexpr int kMaxDepth = 100;
constexpr uint32_t kEndGroup = 4;

size_t VarintSize(uint64_t value) {
  size_t size = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++size;
  }
  return size;
}

}  // namespace

bool Reader::Fail() {
  ok_ = false;
  rest_ = {};
  return false;
}

bool Reader::Varint(uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (rest_.empty()) return Fail();
    const auto byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    if (shift < 64) *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return Fail();
}

// As Protobuf's own parser: of a tag in five bytes, the upper three bits are passed over.
bool Reader::Tag(uint32_t* tag) {
  uint64_t value = 0;
  if (!Varint(&value)) return false;
  *tag = static_cast<uint32_t>(value);
  return value >> 35 == 0 && *tag >> 3 != 0 ? true : Fail();
}

bool Reader::Skip(Type type, uint32_t number, int depth, Field* field) {
  switch (type) {
    case Type::kVarint:
      return Varint(&field->varint);
    case Type::kFixed64:
    case Type::kFixed32: {
      const size_t size = type == Type::kFixed64 ? 8 : 4;
      if (rest_.size() < size) return Fail();
      rest_.remove_prefix(size);
      return true;
    }
    case Type::kBytes: {
      uint64_t size = 0;
      if (!Varint(&size)) return false;
      if (size > rest_.size()) return Fail();
      field->bytes = rest_.substr(0, size);
      rest_.remove_prefix(size);
      return true;
    }
    case Type::kGroup: {
      if (depth >= kMaxDepth) return Fail();
      while (true) {
        uint32_t tag = 0;
        if (!Tag(&tag)) return false;
        if ((tag & 7) == kEndGroup) return (tag >> 3) == number ? true : Fail();
        Field inner;
        if (!Skip(static_cast<Type>(tag & 7), tag >> 3, depth + 1, &inner)) return false;
      }
    }
  }
  return Fail();
}

bool Reader::Next(Field* field) {
  if (rest_.empty()) return false;
  uint32_t tag = 0;
  if (!Tag(&tag)) return false;
  *field = Field{};
  field->number = tag >> 3;
  field->type = static_cast<Type>(tag & 7);
  return Skip(field->type, field->number, 0, field);
}

std::optional<uint64_t> FindVarint(std::string_view message, uint32_t number) {
  std::optional<uint64_t> value;
  Reader reader(message);
  Field field;
  while (reader.Next(&field)) {
    if (field.number == number && field.type == Type::kVarint) value = field.varint;
  }
  if (!reader.ok()) return std::nullopt;
  return value;
}

void AppendVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

void AppendVarintField(uint32_t number, uint64_t value, std::string* out) {
  AppendVarint(static_cast<uint64_t>(number) << 3, out);
  AppendVarint(value, out);
}

void AppendBytesField(uint32_t number, std::string_view bytes, std::string* out) {
  AppendVarint(static_cast<uint64_t>(number) << 3 | 2, out);
  AppendVarint(bytes.size(), out);
  out->append(bytes);
}

size_t BytesFieldSize(uint32_t number, size_t bytes) {
  return VarintSize(static_cast<uint64_t>(number) << 3) + VarintSize(bytes) + bytes;
}

}  // namespace im::gateway::wire
