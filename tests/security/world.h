// Ann, whom the tests protect, and those who should not get far (authorization_table.h).
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/token/keys.h"
#include "im/gateway/v1/gateway.grpc.pb.h"
#include "tests/e2e/person.h"
#include "tests/security/authorization_table.h"
#include "tests/support/stack.h"

namespace im::testing {

// Not thread-safe; failures of its making fail the test.
class World {
 public:
  World();

  Stack& stack() { return stack_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  // What they show; empty: nothing.
  std::string TokenOf(Attacker attacker) const { return tokens_.at(attacker); }
  // With the words of authorization_table.h replaced.
  std::string Fill(Attacker attacker, std::string text) const;
  // What must not be in an answer to them.
  std::vector<std::string> SecretsFrom(Attacker attacker) const;

  // Of all rows but those that change by themselves; of a user: only theirs.
  std::string Fingerprint(int64_t user = 0);
  int64_t ann() const { return ann_->id(); }
  Person& carol() { return *carol_; }
  std::string ann_token() const { return ann_->tokens().access_token(); }

 private:
  void MeetAndTalk();
  void BreakTokens();

  // Nobody answers heartbeats here.
  Stack stack_{{.flags = {{"gateway", {"--session.heartbeat_seconds=600"}}}}};
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Person> ann_, bob_, carol_, dora_, eve_, rex_, lou_;
  std::map<std::string, std::string> words_;
  std::map<Attacker, std::string> tokens_;
  std::map<Attacker, std::string> refresh_tokens_;
  std::map<bool, std::string> fingerprint_sql_;
  // Ann is online all the time.
  grpc::ClientContext anns_context_;
  std::unique_ptr<grpc::ClientReader<gateway::v1::SubscribeResponse>> anns_stream_;
};

// A token of Ann's gateway's, or of nobody's: signed with this key for that long from now.
std::string IssueToken(const std::string& key_id, const std::string& private_pem, int64_t user,
                       int64_t device, std::chrono::seconds life);

}  // namespace im::testing
