// Sending and typing, as unary calls and as frames of streams.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "common/rpc/router.h"
#include "services/chat/writer.h"

namespace im::chat {

// Thread-safe.
class MessageService {
 public:
  using Done = std::function<void(absl::StatusOr<std::string>)>;

  explicit MessageService(Writers* writers) : writers_(writers) {}

  using Deadline = std::chrono::system_clock::time_point;

  // Takes the serialised request; `done` gets the serialised response, from another thread or this
  // one. Nothing is done after the caller's deadline. Do not block.
  void Send(int64_t user, std::string_view request, const Origin& origin, Deadline deadline,
            Done done);
  void SetTyping(int64_t user, std::string_view request, const Origin& origin, Deadline deadline,
                 Done done);

  void Register(rpc::Router* router);

 private:
  Writers* const writers_;
};

}  // namespace im::chat
