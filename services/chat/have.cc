#include "services/chat/have.h"

#include <algorithm>
#include <utility>

namespace im::chat {

std::vector<HaveConversation> ReadHave(const v1::Have& have) {
  std::vector<HaveConversation> conversations;
  conversations.reserve(have.conversations_size());
  for (const v1::HaveConversation& one : have.conversations()) {
    // Whatever a device says, there is a seq after the one it has.
    conversations.push_back({one.conversation_id(),
                             std::clamp<int64_t>(one.seq(), 0, INT64_MAX - 1), one.peer_read_seq(),
                             one.peer_delivered_seq()});
  }
  std::sort(conversations.begin(), conversations.end(),
            [](const HaveConversation& a, const HaveConversation& b) {
              return std::pair(a.id, a.seq) < std::pair(b.id, b.seq);
            });
  conversations.erase(std::unique(conversations.begin(), conversations.end(),
                                  [](const HaveConversation& a, const HaveConversation& b) {
                                    return a.id == b.id;
                                  }),
                      conversations.end());
  return conversations;
}

Missing FindMissing(int64_t have, const ConversationView& view, int64_t most, int64_t newest) {
  Missing missing;
  missing.entries = Clip(VisibleRanges(view.stays, view.last_seq), have + 1, view.last_seq);
  const int64_t count = CountEntries(missing.entries);
  if (count > most) {
    missing.gaps = Oldest(missing.entries, count - newest);
    missing.entries = Newest(missing.entries, newest);
  }
  const std::vector<SeqRange>& first = missing.gaps.empty() ? missing.entries : missing.gaps;
  int64_t omitted_end = view.omitted_end_seq;
  if (!first.empty()) omitted_end = std::min(omitted_end, first.front().from - 1);
  if (omitted_end > have) {
    missing.gaps.insert(missing.gaps.begin(), SeqRange{have + 1, omitted_end});
  }
  return missing;
}

}  // namespace im::chat
