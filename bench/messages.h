// The messages of a run: each says which it is, so that whoever gets it can tell whether it is
// whole.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "bench/request_id.h"
#include "client/channel.h"
#include "im/chat/v1/messages.pb.h"

namespace im::bench {

// As long as what people write, and what the peers were measured with.
inline constexpr size_t kBodyBytes = 100;

// The text of a message, of kBodyBytes.
std::string MessageBody(const RequestNumber& number);
// Fills in what is to be sent.
void FillMessage(const RequestNumber& number, int64_t conversation_id,
                 chat::v1::SendMessageRequest* request);

// The newest seq that one receiver has of a conversation.
class NewestSeq {
 public:
  // False: it comes after a higher one.
  bool Rises(int64_t seq) {
    const bool rises = seq > newest_;
    newest_ = std::max(newest_, seq);
    return rises;
  }

 private:
  int64_t newest_ = 0;
};

// Reads what a conversation holds after a seq, as this token's account sees it, page by page.
absl::Status ReadBack(client::Channel* channel, const std::string& token, int64_t conversation_id,
                      int64_t after_seq, const std::function<void(const chat::v1::Entry&)>& each);

// What is stored in a conversation that holds nothing but messages of one `a`.
struct StoredMessages {
  // By b and c.
  std::map<std::pair<uint32_t, uint32_t>, int64_t> seqs;
  // Holes; requests that are there twice; entries that are none of ours, or not as they were sent.
  int64_t lost = 0;
  int64_t duplicated = 0;
  int64_t corrupted = 0;

  // 0: it is not there.
  int64_t SeqOf(uint32_t b, uint32_t c) const {
    const auto found = seqs.find(std::pair(b, c));
    return found == seqs.end() ? 0 : found->second;
  }
};
absl::StatusOr<StoredMessages> ReadMessages(client::Channel* channel, const std::string& token,
                                            int64_t conversation_id, uint32_t a);

}  // namespace im::bench
