#include "client/channel.h"

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/rpc/reactions.h"

namespace im::client {
namespace {

absl::StatusOr<std::string> ReadPem(const std::string& what, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream pem;
  pem << file.rdbuf();
  if (!file || pem.str().empty()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read the ", what, " file ", path));
  }
  return pem.str();
}

}  // namespace

absl::StatusOr<std::shared_ptr<Channel>> Channel::Open(const Options& options) {
  rpc::KeepReactionThreads();
  grpc::ChannelArguments arguments;
  // The waiting between attempts is ours (full jitter); gRPC's own must not add much to it.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  // How long connecting may take, in spite of the name.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // Each client its own connection, as on machines of their own.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // A chat server of ours is reached directly, never through an HTTP proxy of the environment.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(-1);
  if (options.server.rfind("unix:", 0) == 0) {
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  }
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (options.tls) {
    grpc::SslCredentialsOptions tls;
    if (!options.ca_file.empty()) {
      IM_ASSIGN_OR_RETURN(tls.pem_root_certs, ReadPem("CA", options.ca_file));
    }
    if (!options.certificate_file.empty()) {
      IM_ASSIGN_OR_RETURN(tls.pem_cert_chain, ReadPem("certificate", options.certificate_file));
      IM_ASSIGN_OR_RETURN(tls.pem_private_key, ReadPem("key", options.key_file));
    }
    credentials = grpc::SslCredentials(tls);
  }
  std::shared_ptr<Channel> channel(new Channel(options));
  channel->channel_ = grpc::CreateCustomChannel(options.server, credentials, arguments);
  return channel;
}

Channel::~Channel() {
  CancelAll();
  MutexLock lock(&mu_);
  while (!running_.empty()) changed_.Wait(&mu_);
}

void Channel::CancelAll() {
  MutexLock lock(&mu_);
  for (grpc::ClientContext* context : running_) context->TryCancel();
}

void AddToken(grpc::ClientContext* context, const std::string& token) {
  if (!token.empty()) context->AddMetadata(rpc::kAuthorizationKey, "Bearer " + token);
}

void Channel::Prepare(grpc::ClientContext* context, const std::string& token) const {
  context->set_deadline(std::chrono::system_clock::now() + options_.call_timeout);
  AddToken(context, token);
}

void Channel::Began(grpc::ClientContext* context) {
  MutexLock lock(&mu_);
  running_.insert(context);
}

void Channel::Ended(grpc::ClientContext* context) {
  // Notified under the lock: the destructor may run as soon as it is released.
  MutexLock lock(&mu_);
  running_.erase(context);
  changed_.NotifyAll();
}

}  // namespace im::client
