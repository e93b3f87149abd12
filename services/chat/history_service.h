// The reading and marking methods of im.chat.v1.ConversationService and MessageService.
#pragma once

#include "common/rpc/router.h"
#include "im/chat/v1/messages.pb.h"
#include "services/chat/pg_history_store.h"
#include "services/chat/watermarks.h"

namespace im::chat {

// ConversationService: GetConversation, ListConversations, ListMembers. MessageService:
// ListEntries, MarkRead, AcknowledgeDelivery, ListWatermarks. Both must outlive the router.
void RegisterHistory(rpc::Router* router, PgHistoryStore* store, Watermarks* watermarks);

// The same calls, for frames that come by a gateway's stream.
absl::StatusOr<v1::ListEntriesResponse> ListEntries(const PgHistoryStore& store, int64_t user,
                                                    const v1::ListEntriesRequest& request);
absl::StatusOr<v1::MarkReadResponse> MarkRead(Watermarks* watermarks, int64_t user,
                                              const v1::MarkReadRequest& request);
absl::StatusOr<v1::AcknowledgeDeliveryResponse> AcknowledgeDelivery(
    Watermarks* watermarks, int64_t user, const v1::AcknowledgeDeliveryRequest& request);
absl::StatusOr<v1::ListWatermarksResponse> ListWatermarks(const PgHistoryStore& store, int64_t user,
                                                          const v1::ListWatermarksRequest& request);

}  // namespace im::chat
