#include "services/chat/publisher.h"

namespace im::chat {

void Publisher::PublishEntry(const std::vector<int64_t>& audience, const Entry& entry,
                             const Origin* origin) {
  internal::v1::Publication publication;
  publication.set_event(SerializeEntryEvent(entry));
  publication.set_conversation_id(entry.conversation_id);
  publication.set_seq(entry.seq);
  if (origin != nullptr) publication.set_except_session(origin->session);
  links_->Publish(audience, publication, origin == nullptr ? nullptr : origin->link.get());
}

void Publisher::PublishEvent(const std::vector<int64_t>& audience, const v1::Event& event,
                             const std::string& replace_key, bool fleeting) {
  internal::v1::Publication publication;
  publication.set_event(event.SerializeAsString());
  publication.set_replace_key(replace_key);
  publication.set_fleeting(fleeting);
  links_->Publish(audience, publication);
}

}  // namespace im::chat
