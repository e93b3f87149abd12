#include "tests/security/rpcs.h"

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/text_format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "tests/support/stack.h"

namespace im::testing {
namespace {

namespace pb = google::protobuf;

pb::FileDescriptorSet Compile() {
  const std::string root = IM_SOURCE_DIR "/proto";
  std::string out = (std::filesystem::temp_directory_path() / "im-protos-XXXXXX").string();
  close(mkstemp(out.data()));
  std::vector<std::string> command = {IM_PROTOC, "-I" + root, "--include_imports",
                                      "--descriptor_set_out=" + out};
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().extension() == ".proto") command.push_back(entry.path().string());
  }
  const Outcome outcome = RunProgram(command);
  pb::FileDescriptorSet files;
  std::ifstream in(out, std::ios::binary);
  const bool read = outcome.status == 0 && files.ParseFromIstream(&in);
  std::filesystem::remove(out);
  if (!read) throw std::runtime_error("protoc: " + outcome.err);
  return files;
}

}  // namespace

std::string NameOf(const pb::MethodDescriptor& method) {
  return method.service()->full_name() + "/" + method.name();
}

Rpcs::Rpcs() {
  const pb::FileDescriptorSet files = Compile();
  // Imports come before those that import them.
  for (const pb::FileDescriptorProto& proto : files.file()) {
    const pb::FileDescriptor* const file = pool_.BuildFile(proto);
    if (file == nullptr) throw std::runtime_error("not built: " + proto.name());
    for (int i = 0; i < file->service_count(); ++i) {
      for (int j = 0; j < file->service(i)->method_count(); ++j) {
        (file->package() == "im.internal.v1" ? internal_ : public_)
            .push_back(file->service(i)->method(j));
      }
    }
  }
}

std::vector<const pb::FieldDescriptor*> Rpcs::frames() const {
  const pb::Descriptor* const request = pool_.FindMessageTypeByName("im.gateway.v1.ConnectRequest");
  const pb::OneofDescriptor* const oneof = request->FindOneofByName("frame");
  std::vector<const pb::FieldDescriptor*> frames;
  for (int i = 0; i < oneof->field_count(); ++i) frames.push_back(oneof->field(i));
  return frames;
}

const pb::MethodDescriptor* Rpcs::Find(const std::string& name) const {
  std::string dotted = name;
  std::replace(dotted.begin(), dotted.end(), '/', '.');
  return pool_.FindMethodByName(dotted);
}

std::string Rpcs::Serialize(const pb::Descriptor* type, const std::string& text) {
  const std::unique_ptr<pb::Message> message(factory_.GetPrototype(type)->New());
  if (!pb::TextFormat::ParseFromString(text, message.get())) {
    throw std::runtime_error("not a " + type->full_name() + ": " + text);
  }
  return message->SerializeAsString();
}

std::string Rpcs::ToText(const pb::Descriptor* type, const std::string& bytes) {
  const std::unique_ptr<pb::Message> message(factory_.GetPrototype(type)->New());
  if (!message->ParseFromString(bytes)) throw std::runtime_error("not a " + type->full_name());
  return message->Utf8DebugString();
}

}  // namespace im::testing
