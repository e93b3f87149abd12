#include "tests/client/fakes.h"

#include <google/protobuf/util/time_util.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/rpc/status.h"

namespace im::client::testing {

using gateway::v1::ConnectRequest;
using gateway::v1::ServerFrame;
using google::protobuf::util::TimeUtil;

Clock::time_point FakeTimers::Now() {
  std::lock_guard lock(mu_);
  return now_;
}

void FakeTimers::After(Clock::duration delay, std::function<void()> work) {
  std::lock_guard lock(mu_);
  due_.emplace(now_ + delay, std::move(work));
  changed_.notify_all();
}

void FakeTimers::Advance(Clock::duration by) {
  const Clock::time_point until = Now() + by;
  for (;;) {
    std::function<void()> work;
    {
      std::lock_guard lock(mu_);
      if (due_.empty() || due_.begin()->first > until) {
        now_ = until;
        return;
      }
      now_ = std::max(now_, due_.begin()->first);
      work = std::move(due_.begin()->second);
      due_.erase(due_.begin());
    }
    work();
  }
}

bool FakeTimers::RunNext(Clock::duration within) {
  Clock::duration by;
  {
    std::unique_lock lock(mu_);
    const bool due = changed_.wait_for(lock, std::chrono::seconds(10), [&] {
      return !due_.empty() && due_.begin()->first <= now_ + within;
    });
    if (!due) return false;
    by = due_.begin()->first - now_;
  }
  Advance(by);
  return true;
}

FakeStream::FakeStream(grpc::CallbackServerContext* context) {
  const auto& metadata = context->client_metadata();
  const auto it = metadata.find("authorization");
  if (it != metadata.end()) token_ = std::string(it->second.data(), it->second.size());
}

void FakeStream::Begin(std::shared_ptr<FakeStream> self) {
  self_ = std::move(self);
  StartRead(&request_);
}

void FakeStream::OnReadDone(bool ok) {
  if (!ok) return frames_.Close();
  frames_.Put(request_);
  StartRead(&request_);
}

void FakeStream::OnWriteDone(bool ok) {
  std::lock_guard lock(mu_);
  writing_ = false;
  responses_.pop_front();
  if (!ok) responses_.clear();
  WriteOrFinish();
}

void FakeStream::OnDone() { const auto self = std::move(self_); }

void FakeStream::WriteOrFinish() {
  if (writing_ || finished_) return;
  if (!responses_.empty()) {
    writing_ = true;
    StartWrite(&responses_.front());
  } else if (end_) {
    finished_ = true;
    Finish(*end_);
  }
}

std::optional<ConnectRequest> FakeStream::ReadPast(std::vector<ConnectRequest::FrameCase> skipped) {
  for (;;) {
    auto frame = Read();
    if (!frame || std::find(skipped.begin(), skipped.end(), frame->frame_case()) == skipped.end()) {
      return frame;
    }
  }
}

void FakeStream::Write(const ServerFrame& frame) {
  gateway::v1::ConnectResponse response;
  *response.mutable_frame() = frame;
  std::lock_guard lock(mu_);
  responses_.push_back(std::move(response));
  WriteOrFinish();
}

void FakeStream::End(const grpc::Status& status) {
  std::lock_guard lock(mu_);
  if (!end_) end_ = status;
  WriteOrFinish();
}

gateway::v1::Hello FakeStream::Welcome(int64_t epoch) {
  const auto frame = Read();
  ServerFrame welcome;
  welcome.mutable_welcome()->set_session_id("s");
  welcome.mutable_welcome()->set_epoch(epoch);
  welcome.mutable_welcome()->set_user_id(1);
  welcome.mutable_welcome()->set_device_id(11);
  welcome.mutable_welcome()->mutable_heartbeat_interval()->set_seconds(30);
  *welcome.mutable_welcome()->mutable_server_time() = TimeUtil::SecondsToTimestamp(1'000'000);
  *welcome.mutable_welcome()->mutable_token_expires_at() =
      TimeUtil::SecondsToTimestamp(1'000'000 + 900);
  Write(welcome);
  return frame ? frame->hello() : gateway::v1::Hello();
}

void FakeStream::CaughtUp(int64_t own_log_position) {
  ServerFrame frame;
  frame.mutable_caught_up()->set_own_log_position(own_log_position);
  Write(frame);
}

void FakeStream::Chat(const chat::v1::Event& event) {
  ServerFrame frame;
  *frame.mutable_chat() = event;
  Write(frame);
}

void FakeStream::Entry(const chat::v1::Entry& entry) {
  chat::v1::Event event;
  *event.mutable_entry() = entry;
  Chat(event);
}

void FakeStream::AnswerSend(const ConnectRequest& frame, int64_t seq) {
  ServerFrame answer;
  answer.mutable_answer()->set_call_id(frame.call_id());
  auto* stored = answer.mutable_answer()->mutable_send_message();
  stored->set_conversation_id(frame.send_message().conversation_id());
  stored->set_request_id(frame.send_message().request_id());
  stored->set_seq(seq);
  stored->set_count(seq);
  Write(answer);
}

void FakeStream::Fail(const ConnectRequest& frame, const absl::Status& status) {
  ServerFrame answer;
  answer.mutable_answer()->set_call_id(frame.call_id());
  *answer.mutable_answer()->mutable_failure() = rpc::ToFailure(status);
  Write(answer);
}

FakeGateway::FakeGateway() {
  std::string folder = (std::filesystem::temp_directory_path() / "imclientXXXXXX").string();
  folder_ = mkdtemp(folder.data());
  address_ = absl::StrCat("unix:", folder_, "/gateway.sock");
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
  builder.RegisterService(static_cast<gateway::v1::GatewayService::CallbackService*>(this));
  builder.RegisterService(static_cast<chat::v1::MessageService::Service*>(this));
  builder.RegisterService(static_cast<chat::v1::ConversationService::Service*>(this));
  builder.RegisterService(static_cast<auth::v1::AccountService::Service*>(this));
  server_ = builder.BuildAndStart();
}

FakeGateway::~FakeGateway() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  std::filesystem::remove_all(folder_);
}

std::shared_ptr<FakeStream> FakeGateway::Accept() { return streams_.Take().value_or(nullptr); }

grpc::ServerBidiReactor<gateway::v1::ConnectRequest, gateway::v1::ConnectResponse>*
FakeGateway::Connect(grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<FakeStream>(context);
  stream->Begin(stream);
  streams_.Put(stream);
  return stream.get();
}

void FakeGateway::Store(const chat::v1::Entry& entry) {
  std::lock_guard lock(mu_);
  entries_[entry.conversation_id()][entry.seq()] = entry;
}

void FakeGateway::Store(const chat::v1::Conversation& conversation) {
  std::lock_guard lock(mu_);
  conversations_[conversation.conversation_id()] = conversation;
}

void FakeGateway::FailNextLoad(const grpc::Status& status) {
  std::lock_guard lock(mu_);
  load_failures_.push_back(status);
}

std::vector<chat::v1::ListEntriesRequest> FakeGateway::loads() {
  std::lock_guard lock(mu_);
  return loads_;
}

grpc::Status FakeGateway::ListEntries(grpc::ServerContext*,
                                      const chat::v1::ListEntriesRequest* request,
                                      chat::v1::ListEntriesResponse* response) {
  std::lock_guard lock(mu_);
  loads_.push_back(*request);
  if (!load_failures_.empty()) {
    const grpc::Status status = load_failures_.front();
    load_failures_.pop_front();
    return status;
  }
  // Pages of two, so that there is more than one.
  int64_t after = request->after_seq();
  if (!request->page_token().empty()) after = std::stoll(request->page_token());
  for (const auto& [seq, entry] : entries_[request->conversation_id()]) {
    if (seq <= after || seq > request->to_seq()) continue;
    if (response->entries_size() == 2) {
      response->set_next_page_token(std::to_string(response->entries(1).seq()));
      break;
    }
    *response->add_entries() = entry;
  }
  return grpc::Status::OK;
}

grpc::Status FakeGateway::ListConversations(grpc::ServerContext*,
                                            const chat::v1::ListConversationsRequest*,
                                            chat::v1::ListConversationsResponse* response) {
  if (hold_list_.exchange(false)) list_releases_.Take();
  std::lock_guard lock(mu_);
  for (const auto& [id, conversation] : conversations_) {
    *response->add_conversations() = conversation;
  }
  return grpc::Status::OK;
}

grpc::Status FakeGateway::GetConversation(grpc::ServerContext*,
                                          const chat::v1::GetConversationRequest* request,
                                          chat::v1::GetConversationResponse* response) {
  std::lock_guard lock(mu_);
  const auto it = conversations_.find(request->conversation_id());
  if (it == conversations_.end()) return {grpc::StatusCode::NOT_FOUND, "no such conversation"};
  *response->mutable_conversation() = it->second;
  return grpc::Status::OK;
}

grpc::Status FakeGateway::Refresh(grpc::ServerContext*, const auth::v1::RefreshRequest* request,
                                  auth::v1::RefreshResponse* response) {
  std::lock_guard lock(mu_);
  const std::string expected = absl::StrCat("refresh", refreshes_);
  if (request->refresh_token() != expected) {
    return rpc::ToGrpc(Error(Reason::REFRESH_TOKEN_REUSED));
  }
  ++refreshes_;
  response->mutable_tokens()->set_access_token(absl::StrCat("access", refreshes_));
  response->mutable_tokens()->set_refresh_token(absl::StrCat("refresh", refreshes_));
  return grpc::Status::OK;
}

std::vector<std::string> Recorder::NextEntries(int count) {
  std::vector<std::string> lines;
  while (static_cast<int>(lines.size()) < count) {
    const std::string line = Next();
    if (line.empty()) break;
    if (line.find('/') != std::string::npos) lines.push_back(line);
  }
  return lines;
}

bool Recorder::Await(const std::string& begin) {
  for (;;) {
    const std::string line = Next();
    if (line.empty()) return false;
    if (line.rfind(begin, 0) == 0) return true;
  }
}

void Recorder::OnConnection(ConnectionState state, const absl::Status& why,
                            std::chrono::milliseconds retry_in) {
  switch (state) {
    case ConnectionState::kConnecting:
      return lines_.Put("connecting");
    case ConnectionState::kResuming:
      return lines_.Put("resuming");
    case ConnectionState::kLive:
      return lines_.Put("live");
    case ConnectionState::kWaiting:
      return lines_.Put(absl::StrCat("waiting ", retry_in.count()));
    case ConnectionState::kEnded: {
      const auto reason = ReasonOf(why);
      return lines_.Put(absl::StrCat(
          "ended ", reason ? std::string(ReasonName(*reason)) : std::string(why.message())));
    }
  }
}

void Recorder::OnConversation(const chat::v1::Conversation& conversation, bool listed) {
  lines_.Put(absl::StrCat(listed ? "listed " : "conversation ", conversation.conversation_id()));
}

void Recorder::OnEntry(const chat::v1::Entry& entry) {
  lines_.Put(absl::StrCat("entry ", entry.conversation_id(), "/", entry.seq(), " ",
                          entry.message().text().body()));
}

void Recorder::OnGap(const chat::v1::Gap& gap) {
  lines_.Put(absl::StrCat("gap ", gap.conversation_id(), "/", gap.from_seq(), "-", gap.to_seq()));
}

void Recorder::OnOwnRecord(const chat::v1::OwnRecord& record) {
  lines_.Put(absl::StrCat("record ", record.position()));
}

chat::v1::Entry TextEntry(int64_t conversation_id, int64_t seq, const std::string& text,
                          int64_t sender) {
  chat::v1::Entry entry;
  entry.set_conversation_id(conversation_id);
  entry.set_seq(seq);
  entry.set_sender_user_id(sender);
  entry.set_request_id(absl::StrCat("request ", seq));
  *entry.mutable_message() = TextContent(text);
  return entry;
}

chat::v1::Content TextContent(const std::string& text) {
  chat::v1::Content content;
  content.mutable_text()->set_body(text);
  return content;
}

chat::v1::Conversation DirectConversation(int64_t conversation_id, int64_t last_seq) {
  chat::v1::Conversation conversation;
  conversation.set_conversation_id(conversation_id);
  conversation.set_kind(chat::v1::CONVERSATION_KIND_DIRECT);
  conversation.set_peer_user_id(2);
  conversation.set_last_seq(last_seq);
  conversation.add_stays()->set_first_seq(1);
  return conversation;
}

}  // namespace im::client::testing
