// Strings and gRPC byte buffers.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <string>
#include <string_view>

namespace im::rpc {

std::string ToString(const grpc::ByteBuffer& buffer);
grpc::ByteBuffer ToByteBuffer(std::string_view bytes);

}  // namespace im::rpc
