// Entries, contacts and presence in words.
#pragma once

#include <string>

#include "im/chat/v1/contacts.pb.h"
#include "im/chat/v1/entries.pb.h"
#include "im/presence/v1/presence.pb.h"
#include "imctl/output.h"
#include "imctl/people.h"

namespace im::imctl {

// What happened, escaped: "bob: hello", "* bob added carol". `indent` goes before further lines.
std::string Describe(People& people, const chat::v1::Entry& entry, const std::string& indent);
// What was written, in one line; "* bob left" for other entries. Escaped.
std::string Summary(People& people, const chat::v1::Entry& entry);

std::string Describe(chat::v1::ContactState state);
std::string Describe(presence::v1::Status status);
std::string Describe(const presence::v1::Presence& presence);

// The entry with the sender's name.
std::string ToJson(People& people, const chat::v1::Entry& entry, JsonFields extra = {});

}  // namespace im::imctl
