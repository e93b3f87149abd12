// What the chat service does with what gateways say on their links.
#pragma once

#include <memory>

#include "common/base/admission.h"
#include "common/base/workers.h"
#include "common/bus/link_server.h"
#include "services/chat/catch_up.h"
#include "services/chat/message_service.h"
#include "services/chat/resume.h"
#include "services/chat/watermarks.h"

namespace im::chat {

// What it points to must be set before the first link comes.
class ChatLinkHandler : public bus::LinkHandler {
 public:
  struct Parts {
    MessageService* messages = nullptr;
    Watermarks* watermarks = nullptr;
    ResumePasses* resumes = nullptr;
    CatchUps* catch_ups = nullptr;
    // For marks, which block.
    Workers* workers = nullptr;
  };

  void Use(const Parts& parts) { parts_ = parts; }

  void OnLinkDown(const std::shared_ptr<bus::Link>& link) override;
  void OnSessionOpened(const std::shared_ptr<bus::Link>& link,
                       const bus::Session& session) override;
  void OnSessionClosed(const std::shared_ptr<bus::Link>& link, const bus::Session& session,
                       bool returning) override;
  void OnCall(const std::shared_ptr<bus::Link>& link, const bus::Session& session,
              internal::v1::SessionCall call) override;
  void OnResumeMore(const std::shared_ptr<bus::Link>& link, const bus::Session& session) override;
  void OnCatchUp(const std::shared_ptr<bus::Link>& link, int64_t since) override;

 private:
  Parts parts_;
  // Of frames that wait for a worker.
  Admission admission_{std::chrono::seconds(2)};
};

}  // namespace im::chat
