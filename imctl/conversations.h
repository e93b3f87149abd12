// Conversations by id, as far as they are needed to name them.
#pragma once

#include <map>
#include <string>

#include "im/chat/v1/conversations.pb.h"
#include "im/chat/v1/entries.pb.h"
#include "imctl/context.h"
#include "imctl/people.h"

namespace im::imctl {

// For one thread.
class Conversations {
 public:
  explicit Conversations(Context* context) : context_(context) {}

  void Put(const chat::v1::Conversation& conversation);
  // Asks the server about one that is not known; "conversation 12" if that fails. Not escaped.
  std::string Title(People& people, int64_t conversation_id);

 private:
  Context* const context_;
  std::map<int64_t, chat::v1::Conversation> known_;
};

}  // namespace im::imctl
