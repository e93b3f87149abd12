// im.chat.v1.ContactService on the wire.
#pragma once

#include "common/rpc/router.h"
#include "services/chat/contacts.h"

namespace im::chat {

inline constexpr char kContactService[] = "im.chat.v1.ContactService";

// Registers all of its methods. `contacts` outlives the router.
void AddContactService(rpc::Router* router, Contacts* contacts);

}  // namespace im::chat
