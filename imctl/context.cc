#include "imctl/context.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/server.h"
#include "imctl/escape.h"
#include "imctl/output.h"
#include "imctl/wording.h"

namespace im::imctl {
namespace {

constexpr char kDefaultServer[] = "127.0.0.1:7400";
// Of a status: lines for people.
constexpr char kAdvice[] = "imctl/advice";

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Whether nothing can have reached the server.
bool NeverConnected(const absl::Status& status) {
  return absl::IsUnavailable(status) && !ReasonOf(status) &&
         (absl::StrContains(status.message(), "failed to connect") ||
          absl::StrContains(status.message(), "DNS resolution failed"));
}

}  // namespace

absl::StatusOr<const Profile*> Context::OpenProfile() {
  if (!profile_) {
    IM_ASSIGN_OR_RETURN(Profile profile, Profile::Open(options.profile));
    profile_ = std::move(profile);
  }
  return &*profile_;
}

absl::StatusOr<Account> Context::GetAccount() {
  IM_ASSIGN_OR_RETURN(const Profile* profile, OpenProfile());
  IM_ASSIGN_OR_RETURN(std::optional<Account> account, profile->ReadAccount());
  if (!account) {
    return absl::UnauthenticatedError("not logged in: imctl login NAME, or imctl register NAME");
  }
  return *std::move(account);
}

absl::StatusOr<client::Options> Context::ServerOptions() {
  client::Options server;
  IM_ASSIGN_OR_RETURN(const Profile* profile, OpenProfile());
  IM_ASSIGN_OR_RETURN(const std::optional<Account> account, profile->ReadAccount());
  const std::string asked = options.server.empty() ? Environment("IMCTL_SERVER") : options.server;
  server.server = kDefaultServer;
  if (!asked.empty()) {
    server.server = asked;
  } else if (account) {
    server.server = account->server;
  }
  IM_RETURN_IF_ERROR(CheckAddress(server.server));
  const bool as_before = account && account->server == server.server;
  server.ca_file = options.ca_file.empty() ? Environment("IMCTL_CA") : options.ca_file;
  if (server.ca_file.empty() && as_before) server.ca_file = account->ca_file;
  // Passwords never go over a network in the clear.
  server.tls = options.tls || !server.ca_file.empty() || (as_before && account->tls) ||
               !rpc::IsLocal(server.server);
  return server;
}

absl::StatusOr<std::shared_ptr<client::Channel>> Context::OpenChannel() {
  if (channel_ == nullptr) {
    IM_ASSIGN_OR_RETURN(const client::Options server, ServerOptions());
    IM_ASSIGN_OR_RETURN(channel_, client::Channel::Open(server));
  }
  return channel_;
}

absl::StatusOr<std::shared_ptr<ProfileTokens>> Context::OpenTokens() {
  if (tokens_ == nullptr) {
    IM_ASSIGN_OR_RETURN(const Profile* profile, OpenProfile());
    IM_ASSIGN_OR_RETURN(const client::Options server, ServerOptions());
    IM_ASSIGN_OR_RETURN(const std::optional<Account> account, profile->ReadAccount());
    if (account && account->server != server.server) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the profile '", options.profile, "' is logged in on ", account->server,
          ", and its tokens are not for ", server.server, ": log in there beside it with imctl ",
          "--profile NAME --server ", server.server, " login ", account->profile.user_name()));
    }
    IM_ASSIGN_OR_RETURN(const auto channel, OpenChannel());
    worker_ = std::make_unique<Workers>(1, 1000);
    tokens_ = std::make_shared<ProfileTokens>(*profile, channel, worker_.get());
  }
  return tokens_;
}

bool Context::Retrying::WaitAfter(const absl::Status& status) {
  if (!absl::IsUnavailable(status) || NeverConnected(status) || left_.count() <= 0) return false;
  const auto delay = std::min(backoff_.Next(), left_);
  left_ -= std::max(delay, std::chrono::milliseconds(1));
  // A sleep: the thread that asked wants nothing but the answer.
  std::this_thread::sleep_for(delay);
  return true;
}

absl::Status CheckAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  bool good = false;
  if (absl::StartsWith(address, "unix:")) {
    good = absl::StartsWith(address, "unix:/");
  } else if (colon != std::string::npos) {
    const std::string host = address.substr(0, colon);
    const std::string port = address.substr(colon + 1);
    int number = 0;
    good = port.find_first_not_of("0123456789") == std::string::npos &&
           absl::SimpleAtoi(port, &number) && number >= 1 && number <= 65535;
    in6_addr ip{};
    if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
      good = good && inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &ip) == 1;
    } else {
      good = good && !host.empty() && std::all_of(host.begin(), host.end(), [](unsigned char c) {
               return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_';
             });
    }
  }
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("'", address,
                   "' is no server: HOST:PORT with a port of 1 to 65535, "
                   "[IPv6]:PORT or unix:/path"));
}

absl::Status Context::Advise(const absl::Status& status) const {
  if (channel_ == nullptr || ReasonOf(status) ||
      !(absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status))) {
    return status;
  }
  return WithAdvice(status, absl::StrCat("this was ", channel_->options().server,
                                         "; --server or IMCTL_SERVER choose another one. On the "
                                         "server's machine ./im status says how it is"));
}

absl::Status SayUnknown(const absl::Status& status, const std::string& what,
                        const std::string& advice) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
      break;
    default:
      return status;
  }
  if (NeverConnected(status)) return status;
  const std::string message =
      absl::StrCat("it is not known whether ", what, " (", status.message(), "): ", advice);
  const auto reason = ReasonOf(status);
  return reason ? Error(*reason, message, DetailsOf(status)) : absl::Status(status.code(), message);
}

absl::Status WithAdvice(absl::Status status, const std::string& advice) {
  absl::Cord lines = status.GetPayload(kAdvice).value_or(absl::Cord());
  lines.Append(absl::StrCat("  ", advice, "\n"));
  status.SetPayload(kAdvice, lines);
  return status;
}

int Report(const absl::Status& status, bool json) {
  if (status.ok()) return kExitOk;
  const auto reason = ReasonOf(status);
  const ErrorDetails details = DetailsOf(status);
  int code = kExitRefused;
  switch (status.code()) {
    case absl::StatusCode::kUnauthenticated:
      code = kExitNotLoggedIn;
      break;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kInternal:
      code = kExitUnreachable;
      break;
    case absl::StatusCode::kResourceExhausted:
      code = details.retry_after ? kExitTryLater : kExitRefused;
      break;
    default:
      // What the server refuses has a reason; the rest failed here.
      if (!reason) {
        const bool usage = absl::IsInvalidArgument(status) || absl::IsCancelled(status);
        code = absl::IsDataLoss(status) ? kExitLocal : usage ? kExitUsage : kExitRefused;
      }
  }
  if (json) {
    std::string line = absl::StrCat(
        "{\"error\":{\"reason\":", JsonString(reason ? ReasonName(*reason) : ""),
        ",\"code\":", JsonString(absl::StatusCodeToString(status.code())),
        ",\"message\":", JsonString(std::string(status.message())), ",\"violations\":[");
    for (const Violation& violation : details.violations) {
      absl::StrAppend(&line, line.back() == '[' ? "" : ",",
                      "{\"field\":", JsonString(violation.field),
                      ",\"description\":", JsonString(violation.description), "}");
    }
    absl::StrAppend(&line, "]");
    if (details.retry_after) {
      absl::StrAppend(&line, ",\"retry_after_ms\":", details.retry_after->count());
    }
    fprintf(stderr, "%s}}\n", line.c_str());
    return code;
  }
  std::string message = Wording(status);
  if (code == kExitUnreachable && !reason) {
    message = absl::StrCat("cannot reach the server: ", message);
  }
  fprintf(stderr, "imctl: %s", EscapeLines(message, "  ").c_str());
  if (reason) fprintf(stderr, " [%s]", std::string(ReasonName(*reason)).c_str());
  fputc('\n', stderr);
  for (const Violation& violation : details.violations) {
    const std::string text = absl::StrCat(violation.field, ": ", violation.description);
    if (text != message && violation.description != message) {
      fprintf(stderr, "  %s\n", Escape(text).c_str());
    }
  }
  if (details.retry_after) {
    fprintf(stderr, "  try again in %lld s\n",
            static_cast<long long>((details.retry_after->count() + 999) / 1000));
  }
  if (reason == Reason::DEVICE_REVOKED || reason == Reason::REFRESH_TOKEN_INVALID ||
      reason == Reason::REFRESH_TOKEN_REUSED) {
    fprintf(stderr, "  this profile was logged out; to go on with it: imctl login NAME\n");
  }
  if (const auto advice = status.GetPayload(kAdvice)) {
    fputs(EscapeLines(std::string(*advice), "").c_str(), stderr);
  }
  return code;
}

}  // namespace im::imctl
