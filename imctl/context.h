// What every command works with: the options before it, the profile, the server.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/backoff.h"
#include "client/channel.h"
#include "client/outbox.h"
#include "common/base/error.h"
#include "imctl/profile.h"
#include "imctl/profile_tokens.h"

namespace im::imctl {

// Documented in --help and docs/imctl.md.
enum ExitCode {
  kExitOk = 0,
  kExitRefused = 1,
  kExitUsage = 2,
  kExitNotLoggedIn = 3,
  kExitUnreachable = 4,
  kExitTryLater = 5,
  kExitLocal = 6,
};

// If the server may have done it all the same, says so: SayUnknown(status, "the password was
// changed", "try the new one"). Other failures stay as they are.
absl::Status SayUnknown(const absl::Status& status, const std::string& what,
                        const std::string& advice);

// For one run of imctl; used by one thread.
class Context {
 public:
  struct Options {
    std::string profile = "default";
    std::string server;
    std::string ca_file;
    bool tls = false;
    bool json = false;
  };

  Options options;

  bool json() const { return options.json; }

  absl::StatusOr<const Profile*> OpenProfile();
  // The account that the profile is logged in as; UNAUTHENTICATED if none.
  absl::StatusOr<Account> GetAccount();
  // Server, TLS and CA: options, else environment, else profile, else the default.
  absl::StatusOr<client::Options> ServerOptions();
  absl::StatusOr<std::shared_ptr<client::Channel>> OpenChannel();
  absl::StatusOr<std::shared_ptr<ProfileTokens>> OpenTokens();

  // If the server cannot be reached: how to choose another one.
  absl::Status Advise(const absl::Status& status) const;

  // A call in the name of the account: Call(&ContactService::Stub::ListContacts, request). Tried
  // again for a few seconds when the server is there but cannot say how it went: only for requests
  // that carry a request_id, or do no more when they come twice.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) {
    Retrying retrying;
    return Try(method, request, [&](const absl::Status& status) -> std::optional<absl::Status> {
      if (retrying.WaitAfter(status)) return std::nullopt;
      return status;
    });
  }
  // For all others. Whoever may have done it is not asked again: see SayUnknown.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> CallOnce(grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                 const Request&, Response*),
                                    const Request& request, const std::string& what,
                                    const std::string& advice) {
    return Try(method, request, [&](const absl::Status& status) -> std::optional<absl::Status> {
      return SayUnknown(status, what, advice);
    });
  }

  // All pages of a list. `items` names the repeated field:
  //   List(&Stub::ListContacts, request, &ListContactsResponse::contacts)
  template <typename Stub, typename Request, typename Response, typename Item>
  absl::StatusOr<std::vector<Item>> List(
      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
      Request request, const google::protobuf::RepeatedPtrField<Item>& (Response::*items)() const) {
    std::vector<Item> all;
    for (;;) {
      IM_ASSIGN_OR_RETURN(const Response page, Call(method, request));
      for (const Item& item : (page.*items)()) all.push_back(item);
      if (page.next_page_token().empty()) return all;
      request.set_page_token(page.next_page_token());
    }
  }

 private:
  // Waits between attempts at what may pass, five seconds in all.
  class Retrying {
   public:
    bool WaitAfter(const absl::Status& status);

   private:
    client::Backoff backoff_{{std::chrono::milliseconds(100), std::chrono::milliseconds(1000)},
                             [] { return 1.0; }};
    std::chrono::milliseconds left_{5000};
  };

  // What a token is refused for was not done: then once more with another one. `decide` says what
  // becomes of other failures; nullopt: another attempt.
  template <typename Stub, typename Request, typename Response, typename Decide>
  absl::StatusOr<Response> Try(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                            Response*),
                               const Request& request, Decide decide) {
    IM_ASSIGN_OR_RETURN(const auto channel, OpenChannel());
    IM_ASSIGN_OR_RETURN(const auto tokens, OpenTokens());
    std::string refused;
    for (;;) {
      IM_ASSIGN_OR_RETURN(const std::string token, tokens->GetTokenNow(refused));
      const auto response = channel->Call(method, request, token);
      if (response.ok()) return response;
      const auto reason = ReasonOf(response.status());
      const bool stale = reason == Reason::TOKEN_EXPIRED || reason == Reason::TOKEN_INVALID;
      if (stale && refused.empty()) {
        refused = token;
      } else if (const auto failed = decide(response.status())) {
        return *failed;
      }
    }
  }

  std::optional<Profile> profile_;
  std::shared_ptr<client::Channel> channel_;
  std::shared_ptr<ProfileTokens> tokens_;
  // Last, since it finishes what it has before the others go.
  std::unique_ptr<Workers> worker_;
};

// INVALID_ARGUMENT unless it is HOST:PORT, [IPv6]:PORT or unix:/path: gRPC would take a bare host
// for one with port 443, and a port for its last 16 bits.
absl::Status CheckAddress(const std::string& address);

// A command's work; set by its callback and run by main once the line is parsed.
using Run = std::function<absl::Status(Context&)>;

// A line for people under the error.
absl::Status WithAdvice(absl::Status status, const std::string& advice);

// Prints an error for people, or as JSON, on standard error; returns the exit code.
int Report(const absl::Status& status, bool json);

}  // namespace im::imctl
