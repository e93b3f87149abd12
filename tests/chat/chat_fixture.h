// Conversations in a database of a test's own, made the way the writers make them.
//
//   ChatFixture chat;
//   const int64_t group = chat.Group(kAlice, {kBob});
//   chat.Say(group, kAlice, "hi");
#pragma once

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/pg/pool.h"
#include "services/chat/conversation.h"
#include "services/chat/pg_message_store.h"
#include "tests/support/database.h"

namespace im::testing {

inline constexpr int64_t kAlice = 101;
inline constexpr int64_t kBob = 102;
inline constexpr int64_t kCarol = 103;
inline constexpr int64_t kDave = 104;

class ChatFixture {
 public:
  int64_t Direct(int64_t one, int64_t other) { return Must(store.OpenDirect(one, other)); }

  int64_t Group(int64_t founder, std::vector<int64_t> others, const std::string& title = "group",
                bool open_history = false) {
    chat::v1::GroupCreated created;
    created.set_title(title);
    others.insert(others.begin(), founder);
    created.mutable_user_ids()->Assign(others.begin(), others.end());
    return Must(store.CreateGroup(founder, RandomBytes(16), 0, title, open_history, others,
                                  created.SerializeAsString()))
        .conversation_id;
  }

  // `count` messages with the same text, in batches. Returns the last.
  chat::Entry Say(int64_t conversation, int64_t user, const std::string& text, int count = 1) {
    chat::v1::Content content;
    content.mutable_text()->set_body(text);
    chat::Entry last;
    while (count > 0) {
      const chat::ConversationState state = Load(conversation);
      std::vector<chat::Entry> entries(std::min(count, 1000));
      count -= static_cast<int>(entries.size());
      chat::AppendBatch batch;
      batch.conversations = {{conversation, state.last_seq, state.version,
                              state.last_seq + static_cast<int64_t>(entries.size()),
                              state.last_count + static_cast<int64_t>(entries.size())}};
      for (size_t i = 0; i < entries.size(); ++i) {
        chat::Entry& entry = entries[i];
        entry.conversation_id = conversation;
        entry.seq = state.last_seq + 1 + static_cast<int64_t>(i);
        entry.count = state.last_count + 1 + static_cast<int64_t>(i);
        entry.sender = user;
        entry.request_id = RandomBytes(16);
        entry.content = content.SerializeAsString();
        batch.entries.push_back(&entry);
        batch.join_seqs.push_back(state.members.at(user).join_seq);
      }
      if (!Must(store.Append(batch, /*wait=*/true)).stored()) {
        throw std::runtime_error("not stored");
      }
      last = entries.back();
    }
    return last;
  }

  // Each returns the seq of the entry it made.
  int64_t Add(int64_t conversation, int64_t by, const std::vector<int64_t>& users) {
    return Change(conversation, by,
                  [&](const auto& state) { return chat::PlanAdd(state, by, users); });
  }
  int64_t Remove(int64_t conversation, int64_t by, int64_t user) {
    return Change(conversation, by,
                  [&](const auto& state) { return chat::PlanRemove(state, by, user); });
  }
  int64_t Leave(int64_t conversation, int64_t user) {
    return Change(conversation, user,
                  [&](const auto& state) { return chat::PlanLeave(state, user); });
  }
  int64_t Return(int64_t conversation, int64_t user) {
    const auto stay = Must(store.FindLastStay(conversation, user));
    return Change(conversation, user,
                  [&](const auto& state) { return chat::PlanReturn(state, user, stay); });
  }
  int64_t Rename(int64_t conversation, int64_t by, const std::string& title) {
    return Change(conversation, by,
                  [&](const auto& state) { return chat::PlanRename(state, by, title); });
  }

  int64_t Number(const std::string& sql) { return std::stoll(database.Value(sql)); }

  TestDatabase database;
  pg::Pool pool{{.url = database.UrlOf("chat"), .connections = 8}};
  chat::PgMessageStore store{&pool};

 private:
  template <typename T>
  static T Must(absl::StatusOr<T> value) {
    if (!value.ok()) throw std::runtime_error(value.status().ToString());
    return *std::move(value);
  }

  chat::ConversationState Load(int64_t conversation) {
    chat::ConversationState state;
    state.id = conversation;
    const absl::Status status = store.Refresh({&state});
    if (!status.ok() || state.id == 0) throw std::runtime_error("no such conversation");
    return state;
  }

  template <typename Plan>
  int64_t Change(int64_t conversation, int64_t user, const Plan& plan) {
    const chat::ConversationState state = Load(conversation);
    chat::Entry entry;
    entry.sender = user;
    entry.request_id = RandomBytes(16);
    const chat::ChangePlan planned = Must<chat::ChangePlan>(plan(state));
    if (Must(store.Change(state, planned, &entry)) != chat::ChangeOutcome::kStored) {
      throw std::runtime_error("not stored");
    }
    return entry.seq;
  }
};

}  // namespace im::testing
