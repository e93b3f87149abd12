#include "bench/overload_client.h"

#include <cstring>
#include <utility>

#include "bench/messages.h"
#include "common/base/random.h"

namespace im::bench {

using gateway::v1::ConnectRequest;
using gateway::v1::ServerFrame;
using std::chrono::steady_clock;

OverloadClient::OverloadClient(uint32_t number, ClientLoop* loop, const std::string& token,
                               int64_t conversation_id)
    : number_(number), conversation_id_(conversation_id), run_(RandomBytes(4)) {
  client_.reset(new LeanClient(loop, token, this));
}

OverloadClient::~OverloadClient() {
  {
    MutexLock lock(&mu_);
    closing_ = true;
  }
  client_.reset();
}

bool OverloadClient::ready() const {
  MutexLock lock(&mu_);
  return ready_ || !counts_.failure.ok();
}

std::string OverloadClient::RequestId(uint64_t call_id) const {
  std::string id = run_;
  id.append(reinterpret_cast<const char*>(&number_), sizeof number_);
  id.append(reinterpret_cast<const char*>(&call_id), sizeof call_id);
  return id;
}

void OverloadClient::Send(Time due) {
  ConnectRequest frame;
  {
    MutexLock lock(&mu_);
    if (!counts_.failure.ok()) return;
    frame.set_call_id(++last_call_);
    waiting_[last_call_] = due;
    ++counts_.sent;
  }
  auto* message = frame.mutable_send_message();
  message->set_conversation_id(conversation_id_);
  message->set_request_id(RequestId(frame.call_id()));
  message->mutable_content()->mutable_text()->set_body(std::string(kBodyBytes, '.'));
  client_->Send(frame);
}

void OverloadClient::Loop(int window) {
  {
    MutexLock lock(&mu_);
    window_ = window;
  }
  for (int i = 0; i < window; ++i) Send(steady_clock::now());
}

size_t OverloadClient::waiting() const {
  MutexLock lock(&mu_);
  return counts_.failure.ok() ? waiting_.size() : 0;
}

OverloadClient::Counts OverloadClient::Take() {
  MutexLock lock(&mu_);
  Counts taken = std::exchange(counts_, {});
  counts_.failure = taken.failure;
  return taken;
}

std::vector<std::pair<std::string, int64_t>> OverloadClient::Acknowledged() const {
  std::vector<std::pair<std::string, int64_t>> all;
  MutexLock lock(&mu_);
  all.reserve(acknowledged_.size());
  for (const auto& [call_id, seq] : acknowledged_) all.emplace_back(RequestId(call_id), seq);
  return all;
}

void OverloadClient::OnFrame(const ServerFrame& frame) {
  bool again = false;
  {
    MutexLock lock(&mu_);
    if (frame.has_caught_up()) ready_ = true;
    if (frame.has_session_end()) {
      counts_.failure = absl::AbortedError("the server ended the session");
    }
    if (!frame.has_answer()) return;
    const auto& answer = frame.answer();
    const auto found = waiting_.find(answer.call_id());
    if (found == waiting_.end()) return;
    const int64_t took =
        std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - found->second)
            .count();
    waiting_.erase(found);
    if (answer.has_failure()) {
      ++counts_.refused;
      counts_.refused_latency.Record(took);
      if (answer.failure().reason() != "OVERLOADED" || !answer.failure().has_retry_after()) {
        ++counts_.untyped;
      }
    } else {
      ++counts_.acknowledged;
      counts_.accepted_latency.Record(took);
      acknowledged_.emplace_back(answer.call_id(), answer.send_message().seq());
    }
    again = window_ > 0;
  }
  if (again) Send(steady_clock::now());
}

void OverloadClient::OnClosed(const absl::Status& status) {
  MutexLock lock(&mu_);
  if (!closing_ && counts_.failure.ok()) counts_.failure = status;
}

}  // namespace im::bench
