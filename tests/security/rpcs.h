// All that the protos offer, read from the files themselves: what a new proto adds is found,
// whoever links it.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>

#include <memory>
#include <string>
#include <vector>

namespace im::testing {

// Not thread-safe. Fails by exceptions.
class Rpcs {
 public:
  // Runs protoc on every file below proto/.
  Rpcs();

  // Of all packages but the internal one.
  const std::vector<const google::protobuf::MethodDescriptor*>& offered() const { return public_; }
  // Of im.internal.v1.
  const std::vector<const google::protobuf::MethodDescriptor*>& internal() const {
    return internal_;
  }
  // The frames of a client on its stream.
  std::vector<const google::protobuf::FieldDescriptor*> frames() const;

  // Null: there is none.
  const google::protobuf::MethodDescriptor* Find(const std::string& full_name) const;
  // The bytes of a message that is given as text.
  std::string Serialize(const google::protobuf::Descriptor* type, const std::string& text);
  // A message's bytes as text.
  std::string ToText(const google::protobuf::Descriptor* type, const std::string& bytes);

 private:
  google::protobuf::DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory factory_{&pool_};
  std::vector<const google::protobuf::MethodDescriptor*> public_;
  std::vector<const google::protobuf::MethodDescriptor*> internal_;
};

// "im.auth.v1.AccountService/LogIn".
std::string NameOf(const google::protobuf::MethodDescriptor& method);

}  // namespace im::testing
