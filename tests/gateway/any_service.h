// A service of any kind for the gateway to pass calls on to. What it does goes by the method's
// name:
//   Echo    sends back each message, and ends after the client's last one
//   Flood   sends messages of 16 KB without end, as fast as they are taken
//   Deaf    reads nothing until Hear(), then all, and then ends
//   EarlyHeaders  sends its metadata, and reads to the end
//   Refuse  ends at once with ABORTED and details
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <set>
#include <string>

#include "common/base/mutex.h"
#include "common/rpc/server.h"

namespace im::gateway {

inline constexpr size_t kFloodBytes = 16 << 10;

// Thread-safe. Echoes metadata "x-echo" at the beginning and "x-echo-bin" at the end.
class AnyService : public grpc::CallbackGenericService {
 public:
  // `address`: "unix:/path".
  explicit AnyService(const std::string& address);
  ~AnyService() override;

  const std::string& address() const { return address_; }
  // Deaf calls read from now on.
  void Hear();
  // Cancels all calls there are.
  void CancelAll();

  std::atomic<int> calls{0};
  std::atomic<int> cancelled{0};
  std::atomic<size_t> bytes_read{0};
  std::atomic<size_t> bytes_written{0};
  // Metadata of the last call, as "name=value;".
  std::string last_metadata();
  std::chrono::system_clock::time_point last_deadline();

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  class Call;

  bool Hears();
  void Ended(Call* call);

  const std::string address_;
  std::unique_ptr<rpc::Server> server_;
  Mutex mu_;
  bool hears_ IM_GUARDED_BY(mu_) = false;
  std::set<Call*> running_ IM_GUARDED_BY(mu_);
  std::string metadata_ IM_GUARDED_BY(mu_);
  std::chrono::system_clock::time_point deadline_ IM_GUARDED_BY(mu_);
};

}  // namespace im::gateway
