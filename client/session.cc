#include "client/session.h"

#include <future>
#include <utility>

#include "client/session_core.h"

namespace im::client {

Session::Session(std::shared_ptr<Channel> channel, std::shared_ptr<TokenSource> tokens,
                 Timers* timers, Observer* observer, SessionOptions options)
    : core_(std::make_shared<Core>(std::move(channel), std::move(tokens), timers, observer,
                                   std::move(options))) {}

Session::~Session() { Stop(); }

void Session::Start() {
  core_->Post([](Core& core) { core.Start(); });
}

void Session::Stop() {
  // Shared: the promise may still be in use when the wait is over.
  auto stopped = std::make_shared<std::promise<void>>();
  core_->Post([stopped](Core& core) { core.Stop([stopped] { stopped->set_value(); }); });
  stopped->get_future().wait();
}

std::string Session::Send(int64_t conversation_id, const chat::v1::Content& content, Sent done) {
  chat::v1::SendMessageRequest request;
  request.set_conversation_id(conversation_id);
  request.set_request_id(RandomBytes(16));
  *request.mutable_content() = content;
  std::string request_id = request.request_id();
  core_->Post([request = std::move(request), done = std::move(done)](Core& core) {
    core.Send(request, done);
  });
  return request_id;
}

void Session::MarkRead(int64_t conversation_id, int64_t seq) {
  core_->Post([=](Core& core) { core.MarkRead(conversation_id, seq); });
}

void Session::SetTyping(int64_t conversation_id, bool typing) {
  core_->Post([=](Core& core) { core.SetTyping(conversation_id, typing); });
}

void Session::SetStatus(presence::v1::Status status, Done done) {
  core_->Post([status, done = std::move(done)](Core& core) { core.SetStatus(status, done); });
}

void Session::Resync() {
  core_->Post([](Core& core) { core.SendHave(); });
}

void Session::WithSnapshot(std::function<void(const Snapshot&)> use) {
  core_->Post([use = std::move(use)](Core& core) { use(core.GetSnapshot()); });
}

Snapshot Session::GetSnapshot() {
  auto snapshot = std::make_shared<std::promise<Snapshot>>();
  WithSnapshot([snapshot](const Snapshot& now) { snapshot->set_value(now); });
  return snapshot->get_future().get();
}

SessionCounts Session::counts() {
  auto counts = std::make_shared<std::promise<SessionCounts>>();
  core_->Post([counts](Core& core) { counts->set_value(core.counts()); });
  return counts->get_future().get();
}

}  // namespace im::client
