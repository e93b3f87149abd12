#include "tests/gateway/fake_service.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/rpc/status.h"
#include "im/auth/v1/accounts.pb.h"
#include "im/chat/v1/messages.pb.h"
#include "im/presence/v1/presence.pb.h"

namespace im::gateway {

using std::chrono::steady_clock;
using std::chrono::system_clock;

absl::StatusOr<rpc::Identity> FakeAuthenticate(std::string_view token) {
  const std::vector<std::string> parts = absl::StrSplit(std::string(token), ':');
  rpc::Identity identity;
  int seconds = 3600;
  if (parts.size() < 2 || !absl::SimpleAtoi(parts[0], &identity.user_id) ||
      !absl::SimpleAtoi(parts[1], &identity.device_id) ||
      (parts.size() > 2 && !absl::SimpleAtoi(parts[2], &seconds))) {
    return Error(Reason::TOKEN_INVALID);
  }
  if (seconds < 0) return Error(Reason::TOKEN_EXPIRED);
  identity.expires_at = system_clock::now() + std::chrono::seconds(seconds);
  return identity;
}

namespace {

pb::ServiceItem AnswerTo(const pb::SessionCall& call) {
  pb::ServiceItem item;
  item.mutable_answer()->set_session(call.session());
  item.mutable_answer()->set_call_id(call.call_id());
  item.mutable_answer()->set_frame(call.frame());
  return item;
}

}  // namespace

FakeService::FakeService(std::string address, int64_t epoch)
    : address_(std::move(address)), epoch_(epoch) {}

FakeService::~FakeService() { Stop(); }

void FakeService::AddUnary() {
  router_->Unary<chat::v1::MarkReadRequest, chat::v1::MarkReadResponse>(
      "im.chat.v1.MessageService/MarkRead", rpc::Access::kUser,
      [this](const rpc::Caller& caller, const chat::v1::MarkReadRequest& request)
          -> absl::StatusOr<chat::v1::MarkReadResponse> {
        {
          MutexLock lock(&mu_);
          unary_ = {caller.address, caller.request_id, caller.access_token};
          changed_.NotifyAll();
        }
        if (request.seq() == 0) return InvalidField("seq", "is zero");
        chat::v1::MarkReadResponse response;
        response.set_read_seq(request.seq());
        return response;
      });
  router_->Unary<auth::v1::LogInRequest, auth::v1::LogInResponse>(
      "im.auth.v1.AccountService/LogIn", rpc::Access::kPublic,
      [](const rpc::Caller&,
         const auth::v1::LogInRequest& request) -> absl::StatusOr<auth::v1::LogInResponse> {
        auth::v1::LogInResponse response;  // without fields: no bytes
        if (request.user_name() == "large") {
          response.mutable_profile()->set_display_name(std::string(1 << 20, 'x'));
        }
        return response;
      });
  // Takes until the caller has given up.
  router_->Unary<chat::v1::ListEntriesRequest, chat::v1::ListEntriesResponse>(
      "im.chat.v1.MessageService/ListEntries", rpc::Access::kUser,
      [this](const rpc::Caller& caller,
             const chat::v1::ListEntriesRequest&) -> absl::StatusOr<chat::v1::ListEntriesResponse> {
        MutexLock lock(&mu_);
        deadline_ = caller.deadline;
        changed_.NotifyAll();
        while (system_clock::now() < caller.deadline) {
          changed_.WaitUntil(&mu_, steady_clock::now() + std::chrono::milliseconds(10));
        }
        return Error(Reason::DEADLINE_EXCEEDED);
      });
}

void FakeService::Start() {
  router_ = std::make_unique<rpc::Router>(FakeAuthenticate, &workers_);
  AddUnary();
  rpc::ServerConfig config;
  config.listen = {{.address = address_}};
  config.generic = router_.get();
  config.services = {this};
  auto server = rpc::Server::Start(config);
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  beat_ = std::make_unique<Ticker>(std::chrono::milliseconds(100), [this] {
    if (silent.load()) return;
    MutexLock write(&write_mu_);
    Stream* stream = nullptr;
    {
      MutexLock lock(&mu_);
      stream = stream_;
    }
    if (stream == nullptr) return;
    pb::AttachResponse response;
    response.add_items()->mutable_heartbeat();
    stream->Write(response);
  });
}

void FakeService::Stop() {
  beat_.reset();
  if (server_ != nullptr) server_->Shutdown(std::chrono::milliseconds(0));
  server_.reset();
  router_.reset();
  // Or it would be taken for what the next run hears.
  MutexLock lock(&mu_);
  heard_.clear();
}

grpc::Status FakeService::Attach(grpc::ServerContext*, Stream* stream) {
  pb::AttachRequest request;
  if (!stream->Read(&request) || request.items_size() == 0 || !request.items(0).has_hello()) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no hello");
  }
  {
    MutexLock lock(&mu_);
    stream_ = stream;
    ++links_;
    heard_.clear();
    changed_.NotifyAll();
  }
  SayHello(epoch_);
  do {
    for (const pb::GatewayItem& item : request.items()) Hear(item);
    MutexLock lock(&mu_);
    while (deaf.load()) {
      changed_.WaitUntil(&mu_, steady_clock::now() + std::chrono::milliseconds(10));
    }
  } while (stream->Read(&request));
  MutexLock write(&write_mu_);
  MutexLock lock(&mu_);
  stream_ = nullptr;
  return grpc::Status::OK;
}

void FakeService::Hear(const pb::GatewayItem& item) {
  {
    MutexLock lock(&mu_);
    heard_.push_back(item);
    changed_.NotifyAll();
  }
  if (item.has_open() && open_sessions.load()) {
    pb::ServiceItem opened;
    opened.mutable_opened()->set_session(item.open().session());
    Say(opened);
  }
  if (item.has_call() && item.call().frame() == 3 && end_resumes.load()) {
    EndResume(item.call().session());
  }
}

void FakeService::Say(const pb::ServiceItem& item) {
  pb::AttachResponse response;
  *response.add_items() = item;
  SayAll(response);
}

void FakeService::SayAll(const pb::AttachResponse& response) {
  AwaitLink(1);
  MutexLock write(&write_mu_);
  Stream* stream = nullptr;
  {
    MutexLock lock(&mu_);
    stream = stream_;
  }
  if (stream == nullptr) return;
  stream->Write(response);
}

void FakeService::SayHello(int64_t epoch) {
  epoch_ = epoch;
  pb::ServiceItem item;
  item.mutable_hello()->set_instance_id("fake");
  item.mutable_hello()->set_epoch(epoch);
  item.mutable_hello()->set_lanes(lanes);
  Say(item);
}

void FakeService::Publish(std::vector<int64_t> users, const std::string& event,
                          const std::string& replace_key, int64_t conversation, int64_t seq) {
  pb::ServiceItem item;
  auto* publication = item.mutable_publication();
  publication->mutable_user_ids()->Assign(users.begin(), users.end());
  publication->set_event(event);
  publication->set_replace_key(replace_key);
  publication->set_conversation_id(conversation);
  publication->set_seq(seq);
  Say(item);
}

void FakeService::Deliver(uint64_t session, const std::string& event) {
  pb::ServiceItem item;
  item.mutable_delivery()->set_session(session);
  item.mutable_delivery()->set_event(event);
  Say(item);
}

void FakeService::EndPage(uint64_t session) {
  pb::ServiceItem item;
  item.mutable_resume_page_end()->set_session(session);
  Say(item);
}

void FakeService::EndResume(uint64_t session, int64_t position) {
  pb::ServiceItem item;
  item.mutable_resume_end()->set_session(session);
  item.mutable_resume_end()->set_own_log_position(position);
  Say(item);
}

void FakeService::FailResume(uint64_t session, const absl::Status& status) {
  pb::ServiceItem item;
  item.mutable_resume_end()->set_session(session);
  *item.mutable_resume_end()->mutable_failure() = rpc::ToFailure(status);
  Say(item);
}

void FakeService::Answer(const pb::SessionCall& call, const std::string& response) {
  pb::ServiceItem item = AnswerTo(call);
  item.mutable_answer()->set_response(response);
  Say(item);
}

void FakeService::Refuse(const pb::SessionCall& call, const absl::Status& status) {
  pb::ServiceItem item = AnswerTo(call);
  *item.mutable_answer()->mutable_failure() = rpc::ToFailure(status);
  Say(item);
}

pb::GatewayItem FakeService::Take(pb::GatewayItem::ItemCase kind) {
  const auto until = steady_clock::now() + kPatience;
  MutexLock lock(&mu_);
  while (true) {
    const auto found = std::find_if(heard_.begin(), heard_.end(), [&](const pb::GatewayItem& item) {
      return item.item_case() == kind;
    });
    if (found != heard_.end()) {
      const pb::GatewayItem item = *found;
      heard_.erase(found);
      return item;
    }
    if (!changed_.WaitUntil(&mu_, until)) break;
  }
  ADD_FAILURE() << address_ << " never heard an item of kind " << kind;
  return {};
}

bool FakeService::Has(pb::GatewayItem::ItemCase kind) { return Count(kind) > 0; }

int FakeService::Count(pb::GatewayItem::ItemCase kind) {
  MutexLock lock(&mu_);
  return static_cast<int>(
      std::count_if(heard_.begin(), heard_.end(),
                    [&](const pb::GatewayItem& item) { return item.item_case() == kind; }));
}

int FakeService::links() {
  MutexLock lock(&mu_);
  return links_;
}

void FakeService::AwaitLink(int count) {
  const auto until = steady_clock::now() + kPatience;
  MutexLock lock(&mu_);
  while (links_ < count) {
    if (!changed_.WaitUntil(&mu_, until)) {
      ADD_FAILURE() << address_ << " never had " << count << " links";
      return;
    }
  }
}

system_clock::time_point FakeService::last_deadline() {
  MutexLock lock(&mu_);
  return deadline_;
}

FakeService::Unary FakeService::last_unary() {
  MutexLock lock(&mu_);
  return unary_;
}

}  // namespace im::gateway
