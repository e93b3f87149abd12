// The unary methods of a service, each with its handler.
//
// All calls go one way: read the bytes, find the method, authenticate, parse, handle on a worker,
// answer, log, count. gRPC's own generated services would answer bytes that do not parse without a
// reason, and repeat authentication in every method.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/generic/async_generic_service.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/workers.h"
#include "common/rpc/call.h"

namespace im::rpc {

enum class Access {
  kUser,    // needs a valid access token
  kPublic,  // needs none: registration, login
};

class Router : public grpc::CallbackGenericService {
 public:
  using Answer = std::function<void(absl::StatusOr<std::string>)>;

  // `workers` run the handlers; both must outlive the server.
  Router(Authenticate authenticate, Workers* workers);
  ~Router() override;

  // `method`: "im.auth.v1.AccountService/LogIn". The handler may block; it runs on a worker, one of
  // `workers` if given (for methods that would keep the others waiting). A full queue answers
  // OVERLOADED.
  template <typename Request, typename Response>
  void Unary(const std::string& method, Access access,
             std::function<absl::StatusOr<Response>(const Caller&, const Request&)> handler,
             Workers* workers = nullptr) {
    Check(method, Request::descriptor(), Response::descriptor());
    AddBlocking(method, access, workers == nullptr ? workers_ : workers,
                [handler = std::move(handler)](
                    const Caller& caller, const std::string& bytes) -> absl::StatusOr<std::string> {
                  Request request;
                  if (!request.ParseFromString(bytes)) return Malformed(request);
                  absl::StatusOr<Response> response = handler(caller, request);
                  if (!response.ok()) return response.status();
                  return response->SerializeAsString();
                });
  }

  // The handler runs on a reaction thread: it must not block, and calls `answer` exactly once, from
  // any thread, with the serialised response.
  void UnaryRaw(const std::string& method, Access access,
                std::function<void(const Caller&, std::string request, Answer answer)> handler);

  // Ends the process unless every method of these services ("im.auth.v1.AccountService") has its
  // handler. Call after the last Unary; the server's reflection names them.
  void Serve(const std::vector<std::string>& services);
  const std::vector<std::string>& services() const { return services_; }

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  friend class UnaryCall;
  using Blocking =
      std::function<absl::StatusOr<std::string>(const Caller&, const std::string& request)>;
  struct Method;

  static void Check(const std::string& method, const google::protobuf::Descriptor* request,
                    const google::protobuf::Descriptor* response);
  // TEXT_INVALID-like detail is left to handlers; bytes that are no message at all end here.
  static absl::Status Malformed(const google::protobuf::Message& request);
  void AddBlocking(const std::string& method, Access access, Workers* workers, Blocking handler);

  const Authenticate authenticate_;
  Workers* const workers_;
  // Constant once the server runs.
  std::unordered_map<std::string, std::unique_ptr<Method>> methods_;
  std::vector<std::string> services_;
};

}  // namespace im::rpc
