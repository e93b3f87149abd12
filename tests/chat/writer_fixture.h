// A writer on a database of its own, with a direct conversation and a group of Ann and Bob.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>

#include "common/base/random.h"
#include "services/chat/writer.h"
#include "tests/support/database.h"

namespace im::chat {

inline constexpr int64_t kAnn = 1, kBob = 2, kEve = 3;

class NoLinks : public bus::LinkHandler {
  void OnLinkDown(const std::shared_ptr<bus::Link>&) override {}
  void OnSessionOpened(const std::shared_ptr<bus::Link>&, const bus::Session&) override {}
  void OnSessionClosed(const std::shared_ptr<bus::Link>&, const bus::Session&, bool) override {}
  void OnCall(const std::shared_ptr<bus::Link>&, const bus::Session&,
              internal::v1::SessionCall) override {}
};

class WriterTest : public ::testing::Test {
 protected:
  using Future = std::future<absl::StatusOr<Entry>>;

  WriterTest() {
    database_.Exec("INSERT INTO chat.users (user_id, reachability) VALUES (1, 2), (2, 2)");
    direct_ = *store_.OpenDirect(kAnn, kBob);
    group_ =
        store_.CreateGroup(kAnn, RandomBytes(16), 1, "t", false, {kAnn, kBob}, "")->conversation_id;
  }

  Future Send(int64_t conversation, int64_t sender, const std::string& content,
              const std::string& request_id = RandomBytes(16), Writer* writer = nullptr) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<Entry>>>();
    Future future = promise->get_future();
    SendItem item;
    item.conversation_id = conversation;
    item.sender = sender;
    item.request_id = request_id;
    item.content = content;
    item.request_hash = HashRequest("", content);
    item.done = [promise](absl::StatusOr<Entry> entry) { promise->set_value(std::move(entry)); };
    (writer == nullptr ? writer_ : *writer).Submit(std::move(item));
    return future;
  }

  absl::StatusOr<std::optional<Entry>> Change(
      int64_t user, const std::string& request_id,
      std::function<absl::StatusOr<ChangePlan>(const ConversationState&,
                                               const std::optional<LastStay>&)>
          plan,
      Writer* writer = nullptr) {
    std::promise<absl::StatusOr<std::optional<Entry>>> promise;
    ChangeItem item;
    item.conversation_id = group_;
    item.user = user;
    item.request_id = request_id;
    item.plan = std::move(plan);
    item.done = [&](absl::StatusOr<std::optional<Entry>> entry) { promise.set_value(entry); };
    (writer == nullptr ? writer_ : *writer).Submit(std::move(item));
    return promise.get_future().get();
  }

  std::string Contents(int64_t conversation) {
    return database_.Value(
        "SELECT coalesce(string_agg(encode(content, 'escape'), ' ' ORDER BY seq), '') "
        "FROM chat.entries WHERE kind = 10 AND conversation_id = " +
        std::to_string(conversation));
  }

  im::testing::TestDatabase database_;
  pg::Pool pool_{{.url = database_.UrlOf("chat")}};
  PgMessageStore store_{&pool_};
  NoLinks handler_;
  bus::LinkServer links_{{.handler = &handler_}};
  Publisher publisher_{&links_};
  Epoch epoch_{[](int64_t) {}};
  Writer writer_{{.database_url = database_.UrlOf("chat")}, &publisher_, &epoch_};
  int64_t direct_ = 0;
  int64_t group_ = 0;
};

}  // namespace im::chat
