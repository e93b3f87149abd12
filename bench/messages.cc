#include "bench/messages.h"

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "im/chat/v1/messages.grpc.pb.h"

namespace im::bench {
namespace {

constexpr int kPage = 200;

}  // namespace

std::string MessageBody(const RequestNumber& number) {
  std::string body = absl::StrCat("message ", number.a, ".", number.b, ".", number.c, " ");
  body.resize(std::max(body.size(), kBodyBytes), '.');
  return body;
}

void FillMessage(const RequestNumber& number, int64_t conversation_id,
                 chat::v1::SendMessageRequest* request) {
  request->set_conversation_id(conversation_id);
  request->set_request_id(number.ToId());
  request->mutable_content()->mutable_text()->set_body(MessageBody(number));
}

absl::Status ReadBack(client::Channel* channel, const std::string& token, int64_t conversation_id,
                      int64_t after_seq, const std::function<void(const chat::v1::Entry&)>& each) {
  chat::v1::ListEntriesRequest request;
  request.set_conversation_id(conversation_id);
  request.set_after_seq(after_seq);
  request.set_page_size(kPage);
  do {
    const auto page = channel->Call(&chat::v1::MessageService::Stub::ListEntries, request, token);
    if (!page.ok()) return page.status();
    for (const auto& entry : page->entries()) each(entry);
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

absl::StatusOr<StoredMessages> ReadMessages(client::Channel* channel, const std::string& token,
                                            int64_t conversation_id, uint32_t a) {
  StoredMessages stored;
  int64_t seq = 0;
  IM_RETURN_IF_ERROR(
      ReadBack(channel, token, conversation_id, 0, [&](const chat::v1::Entry& entry) {
        // Dense from the first: nobody else writes here.
        if (entry.seq() != ++seq) ++stored.lost;
        seq = entry.seq();
        const auto number = RequestNumber::FromId(entry.request_id());
        if (!number || number->a != a || entry.message().text().body() != MessageBody(*number)) {
          ++stored.corrupted;
        } else if (!stored.seqs.emplace(std::pair(number->b, number->c), seq).second) {
          ++stored.duplicated;
        }
      }));
  return stored;
}

}  // namespace im::bench
