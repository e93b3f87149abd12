// Hands events to the gateways that hold their audience.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/bus/link_server.h"
#include "im/chat/v1/sync.pb.h"
#include "services/chat/entry.h"

namespace im::chat {

// The stream that something came by: it learns the outcome by its answer instead of the event.
struct Origin {
  std::shared_ptr<bus::Link> link;
  uint64_t session = 0;
};

// Thread-safe. Publishes in the order it is called.
class Publisher {
 public:
  explicit Publisher(bus::LinkServer* links) : links_(links) {}

  // `origin` may be null.
  void PublishEntry(const std::vector<int64_t>& audience, const Entry& entry, const Origin* origin);
  // A later event with the same replace_key replaces this one for clients that are slow; empty:
  // none. `fleeting`: may be dropped for them, too.
  void PublishEvent(const std::vector<int64_t>& audience, const v1::Event& event,
                    const std::string& replace_key = {}, bool fleeting = false);

 private:
  bus::LinkServer* const links_;
};

}  // namespace im::chat
