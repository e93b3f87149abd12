// What a device says it has, and what it therefore lacks.
#pragma once

#include <cstdint>
#include <vector>

#include "im/chat/v1/sync.pb.h"
#include "services/chat/history.h"

namespace im::chat {

// What a device has of a conversation; see im.chat.v1.HaveConversation.
struct HaveConversation {
  int64_t id = 0;
  int64_t seq = 0;
  int64_t peer_read_seq = 0;
  int64_t peer_delivered_seq = 0;
};

// In rising id. Of a conversation that is named twice the lower seq counts.
std::vector<HaveConversation> ReadHave(const v1::Have& have);

// What a device lacks of one conversation, in the order to be sent: gaps, then entries.
struct Missing {
  std::vector<SeqRange> gaps;
  std::vector<SeqRange> entries;
};

// For a device that has all up to `have`. If it lacks more than `most` entries, all but the
// `newest` of them are gaps, each inside a stay; those of stays that the view leaves out are one
// more.
Missing FindMissing(int64_t have, const ConversationView& view, int64_t most, int64_t newest);

}  // namespace im::chat
