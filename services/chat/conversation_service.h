// Making direct conversations and groups, and changing groups.
#pragma once

#include <cstdint>
#include <vector>

#include "common/rpc/router.h"
#include "im/chat/v1/conversations.pb.h"
#include "services/chat/contacts.h"
#include "services/chat/directory.h"
#include "services/chat/pg_history_store.h"
#include "services/chat/pg_message_store.h"
#include "services/chat/writer.h"

namespace im::chat {

// Thread-safe; its methods block.
class ConversationService {
 public:
  ConversationService(PgMessageStore* store, Writers* writers, Publisher* publisher,
                      Directory* directory, Contacts* contacts, PgHistoryStore* history)
      : store_(store),
        writers_(writers),
        publisher_(publisher),
        directory_(directory),
        contacts_(contacts),
        history_(history) {}

  void Register(rpc::Router* router);

 private:
  absl::StatusOr<v1::OpenDirectResponse> OpenDirect(const rpc::Caller& caller,
                                                    const v1::OpenDirectRequest& request);
  absl::StatusOr<v1::CreateGroupResponse> CreateGroup(const rpc::Caller& caller,
                                                      const v1::CreateGroupRequest& request);
  absl::StatusOr<v1::RenameGroupResponse> RenameGroup(const rpc::Caller& caller,
                                                      const v1::RenameGroupRequest& request);
  absl::StatusOr<v1::AddMembersResponse> AddMembers(const rpc::Caller& caller,
                                                    const v1::AddMembersRequest& request);
  absl::StatusOr<v1::RemoveMemberResponse> RemoveMember(const rpc::Caller& caller,
                                                        const v1::RemoveMemberRequest& request);
  absl::StatusOr<v1::LeaveGroupResponse> LeaveGroup(const rpc::Caller& caller,
                                                    const v1::LeaveGroupRequest& request);
  absl::StatusOr<v1::ReturnToGroupResponse> ReturnToGroup(const rpc::Caller& caller,
                                                          const v1::ReturnToGroupRequest& request);

  // Has the writer of the conversation make the change, and waits for it.
  absl::StatusOr<std::optional<Entry>> Change(
      const rpc::Caller& caller, int64_t conversation_id, const std::string& request_id,
      int64_t request_hash,
      std::function<absl::StatusOr<ChangePlan>(const ConversationState&,
                                               const std::optional<LastStay>&)>
          plan);

  PgMessageStore* const store_;
  Writers* const writers_;
  Publisher* const publisher_;
  Directory* const directory_;
  Contacts* const contacts_;
  PgHistoryStore* const history_;
};

}  // namespace im::chat
