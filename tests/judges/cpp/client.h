// What the parts of the client have in common, and the parts.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>

// Calls of every kind through the gateway to gRPC's interop server.
void MakeCalls(const std::shared_ptr<grpc::Channel>& channel);

// A connection of its own each time.
using Connect = std::function<std::shared_ptr<grpc::Channel>()>;

// One of two people writes 10,000 messages to the other, whose connection is cut in between.
void TenThousandEvents(const Connect& connect);

// What goes wrong, in whichever thread, ends the program.
[[noreturn]] void Fail(const std::string& what);

inline void Check(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

template <typename T>
void Equal(const std::string& what, const T& got, const std::type_identity_t<T>& wanted) {
  if (got == wanted) return;
  std::ostringstream text;
  text << what << ": " << got << ", not " << wanted;
  throw std::runtime_error(text.str());
}

inline void EndsWith(grpc::StatusCode code, const std::string& what, const grpc::Status& status) {
  Equal(what + " (" + status.error_message() + ")", status.error_code(), code);
}

inline void Ok(const std::string& what, const grpc::Status& status) {
  EndsWith(grpc::StatusCode::OK, what, status);
}

inline void Passed(const std::string& what) { std::cout << "ok - " << what << std::endl; }

// The context of a call.
struct Soon : grpc::ClientContext {
  Soon() { set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60)); }
};
