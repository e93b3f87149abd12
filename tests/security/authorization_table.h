// What each RPC, and each frame of a stream, says to each of nine who should not get far.
//
// Add an RPC, add its row. A request is the request message as text; these words in it are
// replaced:
//   $ann $dora $bob $carol $eve   user ids; Ann is the one to be protected
//   $group      a group of Ann's; Carol left it, and things were said since
//   $closed     a group that Ann removed Carol from
//   $direct     Ann and Bob's conversation; Ann has blocked Bob since
//   $bobs       a group of Bob's         $carols    Ann and Carol's conversation
//   $device     a device of Ann's        $session   the session of an open stream of Ann's
//   $token      the attacker's access token (of $stranger: Ann's)
//   $refresh    the attacker's refresh token
//   $new        a request id             $fresh     a user name nobody has
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "common/base/error.h"

namespace im::testing {

enum class Attacker {
  kNoToken,
  kExpired,   // Ann's token, a minute too old
  kForged,    // Eve's token, with Ann's id written into it
  kWrongKey,  // a token for Ann under the name of the right key, signed with another
  kRevoked,   // Rex's, of a device that he ended
  kLocked,    // Lou's, whose account the operator has locked
  kStranger,  // Eve, with a token of her own
  kLeft,      // Carol, a contact of Ann's
  kBlocked,   // Bob
};
inline constexpr int kAttackers = 9;
std::string AttackerName(Attacker attacker);

struct Expected {
  enum Kind {
    // None was written into the table.
    kMissing,
    // Fails with the reason, and nothing changes.
    kRefused,
    // Succeeds; nothing that is not theirs is in the answer, and nothing of Ann's changes.
    kOwn,
    // Succeeds, for the reason that `why` says.
    kAllowed,
    // There is no such case, for the reason that `why` says.
    kNever,
  };
  Kind kind = kMissing;
  Reason reason = Reason::INTERNAL;
  const char* why = "";
  // Of kOwn: a text that must not be in the answer.
  const char* lacks = nullptr;
};

struct Row {
  // "im.auth.v1.AccountService/LogIn", or a frame: "send_message".
  const char* rpc = "";
  const char* request = "";
  std::array<Expected, kAttackers> expected;
  // Requests of some, in place of that one.
  std::map<Attacker, std::string> requests = {};
};

// In the order in which to try them.
const std::vector<Row>& AuthorizationTable();
const std::vector<Row>& FrameTable();

}  // namespace im::testing
