#include "tests/security/authorization_table.h"

namespace im::testing {
namespace {

constexpr Expected Refused(Reason reason) { return {Expected::kRefused, reason}; }
constexpr Expected Own(const char* why, const char* lacks = nullptr) {
  return {Expected::kOwn, Reason::INTERNAL, why, lacks};
}
constexpr Expected Allowed(const char* why) { return {Expected::kAllowed, Reason::INTERNAL, why}; }
constexpr Expected Never(const char* why) { return {Expected::kNever, Reason::INTERNAL, why}; }

constexpr auto kStranger = Attacker::kStranger;
constexpr auto kBlocked = Attacker::kBlocked;

// No token, expired, forged, wrong key, revoked, locked (which ends the account's devices); then a
// stranger, one who left, one who is blocked.
constexpr std::array<Expected, kAttackers> TokenAnd(Expected stranger, Expected left,
                                                    Expected blocked) {
  return {Refused(Reason::TOKEN_MISSING),
          Refused(Reason::TOKEN_EXPIRED),
          Refused(Reason::TOKEN_INVALID),
          Refused(Reason::TOKEN_INVALID),
          Refused(Reason::DEVICE_REVOKED),
          Refused(Reason::DEVICE_REVOKED),
          stranger,
          left,
          blocked};
}

constexpr std::array<Expected, kAttackers> OnStream(Expected stranger, Expected left,
                                                    Expected blocked) {
  constexpr Expected kNone = Never("has no stream: see Connect");
  return {kNone, kNone, kNone, kNone, kNone, kNone, stranger, left, blocked};
}

constexpr Expected kNoGroups = Never("groups mean nothing here");
constexpr Expected kNoBlocks = Never("blocks mean nothing here");
constexpr Expected kInGroups = Never("a block is between two people, in no group");
constexpr Expected kContact = Never("is a contact of Ann's like any other");
constexpr Expected kOfCaller = Own("the caller's own");
constexpr Expected kNamesNobody = Never("names nobody and nothing: it is about the token's device");

constexpr Expected kNotFound = Refused(Reason::CONVERSATION_NOT_FOUND);
constexpr Expected kNotMember = Refused(Reason::NOT_A_MEMBER);

std::vector<Row> AuthRows() {
  constexpr Expected kPublic = Allowed("needs no token, and a bad one gives nothing");
  constexpr Expected kWrong = Refused(Reason::WRONG_CREDENTIALS);
  constexpr Expected kNoRefresh = Refused(Reason::REFRESH_TOKEN_INVALID);
  return {
      {"im.auth.v1.AccountService/Register",
       "user_name: '$fresh' password: 'geheim-aber-gut'",
       {kPublic, kPublic, kPublic, kPublic, kPublic, kPublic, Refused(Reason::USER_NAME_TAKEN),
        kNoGroups, kNoBlocks},
       {{kStranger, "user_name: 'ann' password: 'geheim-aber-gut'"}}},
      {"im.auth.v1.AccountService/LogIn",
       "user_name: '$fresh' password: 'geheim-aber-gut'",
       {kWrong, kWrong, kWrong, kWrong, Allowed("the device ended, not the account"),
        Refused(Reason::ACCOUNT_LOCKED), kWrong, kNoGroups, kNoBlocks},
       {{Attacker::kRevoked, "user_name: 'rex' password: 'correct horse 4711'"},
        {Attacker::kLocked, "user_name: 'lou' password: 'correct horse 4711'"},
        {kStranger, "user_name: 'ann' password: 'geheim-aber-gut'"}}},
      {"im.auth.v1.AccountService/Refresh",
       "refresh_token: '$refresh'",
       {kNoRefresh, kNoRefresh, kNoRefresh, kNoRefresh, kNoRefresh, Refused(Reason::ACCOUNT_LOCKED),
        kNoRefresh, kNoGroups, kNoBlocks},
       {{kStranger, "refresh_token: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'"}}},
      {"im.auth.v1.KeyService/GetKeys",
       "",
       {kPublic, kPublic, kPublic, kPublic, kPublic, kPublic, kPublic, kNoGroups, kNoBlocks}},
      {"im.auth.v1.AccountService/LogOut", "", TokenAnd(kNamesNobody, kNoGroups, kNoBlocks)},
      {"im.auth.v1.AccountService/ChangePassword",
       "current_password: 'geheim-aber-gut' new_password: 'besser-als-vorher'",
       TokenAnd(kWrong, kNoGroups, kNoBlocks)},
      {"im.auth.v1.AccountService/GetProfile", "", TokenAnd(kOfCaller, kNoGroups, kNoBlocks)},
      {"im.auth.v1.AccountService/UpdateProfile", "bio: 'x'",
       TokenAnd(kOfCaller, kNoGroups, kNoBlocks)},
      {"im.auth.v1.AccountService/LookUpProfiles", "user_ids: $ann",
       TokenAnd(Allowed("profiles are shown to all who are logged in"), kNoGroups, kNoBlocks)},
      {"im.auth.v1.DeviceService/ListDevices", "", TokenAnd(kOfCaller, kNoGroups, kNoBlocks)},
      {"im.auth.v1.DeviceService/RevokeDevices", "device_id: $device",
       TokenAnd(Refused(Reason::DEVICE_NOT_FOUND), kNoGroups, kNoBlocks)},
  };
}

std::vector<Row> ContactRows() {
  constexpr Expected kNoRequest = Refused(Reason::REQUEST_NOT_FOUND);
  constexpr Expected kNoContact = Refused(Reason::CONTACT_NOT_FOUND);
  return {
      {"im.chat.v1.ContactService/RequestContact", "user_id: $ann request_id: '$new'",
       TokenAnd(Allowed("that is how people meet"), kNoGroups, Refused(Reason::RECIPIENT_REFUSES))},
      {"im.chat.v1.ContactService/AcceptContact",
       "user_id: $dora request_id: '$new'",  // Dora has asked Ann
       TokenAnd(kNoRequest, kNoGroups, kNoRequest),
       {{kBlocked, "user_id: $ann request_id: '$new'"}}},
      {"im.chat.v1.ContactService/DeclineContact",
       "user_id: $dora request_id: '$new'",
       TokenAnd(kNoRequest, kNoGroups, kNoRequest),
       {{kBlocked, "user_id: $ann request_id: '$new'"}}},
      {"im.chat.v1.ContactService/WithdrawContact",
       "user_id: $dora request_id: '$new'",
       TokenAnd(kNoRequest, kNoGroups, kNoRequest),
       {{kBlocked, "user_id: $ann request_id: '$new'"}}},
      {"im.chat.v1.ContactService/RemoveContact", "user_id: $ann request_id: '$new'",
       TokenAnd(kNoContact, kContact, kNoContact)},
      {"im.chat.v1.ContactService/ListContacts", "", TokenAnd(kOfCaller, kNoGroups, kOfCaller)},
      {"im.chat.v1.ContactService/SearchContacts", "query: 'ann'",
       TokenAnd(Own("searches the caller's contacts", "user_id"), kNoGroups,
                Own("searches the caller's contacts", "user_id"))},
      {"im.chat.v1.ContactService/BlockUser", "user_id: $ann request_id: '$new'",
       TokenAnd(Allowed("anyone may block anyone, who is not told"), kNoGroups,
                Own("anyone may block anyone, who is not told"))},
      {"im.chat.v1.ContactService/UnblockUser", "user_id: $ann request_id: '$new'",
       TokenAnd(Own("ends the caller's block"), kNoGroups, Own("Ann's block stays"))},
      {"im.chat.v1.ContactService/ListBlocked", "", TokenAnd(kOfCaller, kNoGroups, kOfCaller)},
      {"im.chat.v1.ContactService/GetSettings", "", TokenAnd(kOfCaller, kNoGroups, kNoBlocks)},
      {"im.chat.v1.ContactService/UpdateSettings",
       "request_id: '$new' reachability: REACHABILITY_ANYONE",
       TokenAnd(kOfCaller, kNoGroups, kNoBlocks)},
  };
}

std::vector<Row> ConversationRows() {
  constexpr Expected kOnlyBefore = Own("until they left");
  constexpr Expected kSaidBefore = Own("what was said before stays", "peer_watermark");
  return {
      {"im.chat.v1.ConversationService/OpenDirect", "user_id: $ann",
       TokenAnd(Refused(Reason::RECIPIENT_REFUSES), kContact, kSaidBefore)},
      {"im.chat.v1.ConversationService/CreateGroup",
       "request_id: '$new' title: 'x' user_ids: [$ann]",
       TokenAnd(Refused(Reason::MEMBER_REFUSED), kContact, Refused(Reason::MEMBER_REFUSED))},
      {"im.chat.v1.ConversationService/GetConversation",
       "conversation_id: $group",
       TokenAnd(kNotFound, kOnlyBefore, kSaidBefore),
       {{kBlocked, "conversation_id: $direct"}}},
      {"im.chat.v1.ConversationService/ListConversations", "",
       TokenAnd(kOfCaller, kOnlyBefore, kSaidBefore)},
      {"im.chat.v1.ConversationService/RenameGroup",
       "conversation_id: $group request_id: '$new' title: 'x'",
       TokenAnd(kNotFound, kNotMember, kInGroups)},
      {"im.chat.v1.ConversationService/AddMembers",
       "conversation_id: $group request_id: '$new' user_ids: [$dora]",
       TokenAnd(kNotFound, kNotMember, Refused(Reason::MEMBER_REFUSED)),
       {{kBlocked, "conversation_id: $bobs request_id: '$new' user_ids: [$ann]"}}},
      {"im.chat.v1.ConversationService/RemoveMember",
       "conversation_id: $group request_id: '$new' user_id: $ann",
       TokenAnd(kNotFound, kNotMember, kInGroups)},
      {"im.chat.v1.ConversationService/LeaveGroup", "conversation_id: $group request_id: '$new'",
       TokenAnd(kNotFound, kNotMember, kInGroups)},
      {"im.chat.v1.ConversationService/ReturnToGroup",
       "conversation_id: $closed request_id: '$new'",
       TokenAnd(kNotFound, Refused(Reason::NOT_ALLOWED), kInGroups)},
      {"im.chat.v1.ConversationService/ListMembers",
       "conversation_id: $group",
       TokenAnd(kNotFound, kNotMember, Own("the two are known to each other")),
       {{kBlocked, "conversation_id: $direct"}}},
  };
}

constexpr char kSend[] =
    "conversation_id: $group request_id: '$new' content { text { body: 'x' } }";
constexpr char kSendToAnn[] =
    "conversation_id: $direct request_id: '$new' content { text { body: 'x' } }";
constexpr Expected kPassedOver = Own("what is not the caller's is passed over");

std::vector<Row> MessageRows() {
  return {
      {"im.chat.v1.MessageService/SendMessage",
       kSend,
       TokenAnd(kNotFound, kNotMember, Refused(Reason::RECIPIENT_REFUSES)),
       {{kBlocked, kSendToAnn}}},
      {"im.chat.v1.MessageService/ListEntries",
       "conversation_id: $group after_seq: 0 page_size: 200",
       TokenAnd(kNotFound, Own("until they left"), Own("what was said before stays")),
       {{kBlocked, "conversation_id: $direct after_seq: 0 page_size: 200"}}},
      {"im.chat.v1.MessageService/MarkRead",
       "conversation_id: $group seq: 1000",
       TokenAnd(kNotFound, Own("a mark of one's own, up to where they left"),
                Own("a mark of one's own, which Ann is not told of")),
       {{kBlocked, "conversation_id: $direct seq: 1000"}}},
      {"im.chat.v1.MessageService/AcknowledgeDelivery",
       "conversation_id: $group seq: 1000",
       TokenAnd(kPassedOver, kPassedOver, Own("a mark of one's own, which Ann is not told of")),
       {{kBlocked, "conversation_id: $direct seq: 1000"}}},
      {"im.chat.v1.MessageService/SetTyping",
       "conversation_id: $group typing: true",
       TokenAnd(kNotFound, kNotMember, Refused(Reason::RECIPIENT_REFUSES)),
       {{kBlocked, "conversation_id: $direct typing: true"}}},
      {"im.chat.v1.MessageService/ListWatermarks",
       "conversation_id: $group",
       TokenAnd(kNotFound, kNotMember, Own("Bob's own mark only", "user_id: $ann")),
       {{kBlocked, "conversation_id: $direct"}}},
  };
}

// With what others have in Have.
constexpr char kOthers[] =
    "hello { have { conversations { conversation_id: $group } "
    "conversations { conversation_id: $direct } } }";

std::vector<Row> StreamRows() {
  constexpr Expected kHidden = Own("Ann is online, and shown as anybody who is not", "ONLINE");
  return {
      {"im.presence.v1.PresenceService/SetStatus", "status: STATUS_BUSY",
       TokenAnd(Refused(Reason::NOT_CONNECTED), kNoGroups, kNoBlocks)},
      {"im.presence.v1.PresenceService/GetPresence", "user_ids: $ann",
       TokenAnd(kHidden, kContact, kHidden)},
      {"im.gateway.v1.GatewayService/Connect", kOthers,
       TokenAnd(kOfCaller, Own("until they left"), Own("what was said before stays"))},
      {"im.gateway.v1.GatewayService/Subscribe", kOthers,
       TokenAnd(kOfCaller, Own("until they left"), Own("what was said before stays"))},
      {"im.gateway.v1.GatewayService/SyncDevice", "session_id: '$session'",
       TokenAnd(Refused(Reason::SESSION_NOT_FOUND), Refused(Reason::SESSION_NOT_FOUND),
                Refused(Reason::SESSION_NOT_FOUND))},
  };
}

void Append(std::vector<Row> rows, std::vector<Row>* all) {
  for (Row& row : rows) all->push_back(std::move(row));
}

}  // namespace

std::string AttackerName(Attacker attacker) {
  constexpr const char* kNames[kAttackers] = {"no token",  "expired",        "forged",
                                              "wrong key", "revoked device", "locked account",
                                              "stranger",  "who left",       "who is blocked"};
  return kNames[static_cast<int>(attacker)];
}

const std::vector<Row>& AuthorizationTable() {
  static const auto* const rows = [] {
    auto* all = new std::vector<Row>;
    Append(AuthRows(), all);
    Append(ContactRows(), all);
    Append(ConversationRows(), all);
    Append(MessageRows(), all);
    Append(StreamRows(), all);
    return all;
  }();
  return *rows;
}

const std::vector<Row>& FrameTable() {
  constexpr Expected kFirst = Never("is what opens the stream: see Connect");
  constexpr Expected kNoAnswer = Never("says nothing of anybody");
  constexpr Expected kInvalid = Refused(Reason::TOKEN_INVALID);
  static const auto* const rows = new std::vector<Row>{
      {"hello", "", OnStream(kFirst, kFirst, kFirst)},
      {"have",
       "conversations { conversation_id: $group } conversations { conversation_id: $direct }",
       OnStream(kOfCaller, Own("until they left"), Own("what was said before stays"))},
      {"heartbeat", "", OnStream(kNoAnswer, kNoAnswer, kNoAnswer)},
      // On a stream of Eve's. A frame without a token is one with an empty one.
      {"refresh_token",
       "access_token: '$token'",
       {kInvalid, Refused(Reason::TOKEN_EXPIRED), kInvalid, kInvalid,
        Refused(Reason::DEVICE_REVOKED), Refused(Reason::DEVICE_REVOKED), kInvalid, kNoGroups,
        kNoBlocks}},
      {"send_message",
       kSend,
       OnStream(kNotFound, kNotMember, Refused(Reason::RECIPIENT_REFUSES)),
       {{kBlocked, kSendToAnn}}},
      {"mark_read",
       "conversation_id: $group seq: 1000",
       OnStream(kNotFound, Own("a mark of one's own, up to where they left"),
                Own("a mark of one's own, which Ann is not told of")),
       {{kBlocked, "conversation_id: $direct seq: 1000"}}},
      {"acknowledge_delivery",
       "conversation_id: $group seq: 1000",
       OnStream(kPassedOver, kPassedOver, Own("a mark of one's own, which Ann is not told of")),
       {{kBlocked, "conversation_id: $direct seq: 1000"}}},
      {"set_typing",
       "conversation_id: $group typing: true",
       OnStream(kNotFound, kNotMember, Refused(Reason::RECIPIENT_REFUSES)),
       {{kBlocked, "conversation_id: $direct typing: true"}}},
      {"set_status", "status: STATUS_BUSY",
       OnStream(kOfCaller, kNoGroups, Own("Ann does not see it"))},
  };
  return *rows;
}

}  // namespace im::testing
