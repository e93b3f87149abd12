# What the build uses, all from Debian 12 (docs/dependencies.md says why).

find_package(Threads REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG QUIET)
find_package(absl CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PQXX REQUIRED IMPORTED_TARGET libpqxx)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(JWT REQUIRED IMPORTED_TARGET libjwt)
pkg_check_modules(NGHTTP2 REQUIRED IMPORTED_TARGET libnghttp2)
pkg_check_modules(GRPCPP REQUIRED IMPORTED_TARGET grpc++)
find_package(prometheus-cpp CONFIG REQUIRED)

# malloc and operator new of the programs on a message's way, for who links it. Sanitizers bring their own.
add_library(im_allocator INTERFACE)
if(NOT IM_SANITIZE AND NOT IM_FUZZ)
  find_package(mimalloc CONFIG REQUIRED)
  target_link_libraries(im_allocator INTERFACE mimalloc)
endif()

if(IM_TESTS)
  find_package(GTest REQUIRED)
endif()

find_program(IM_PROTOC protoc REQUIRED)
find_program(IM_GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
