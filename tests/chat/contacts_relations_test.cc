// RelationService: what im-presence is told, and how a block waits for it.
#include <algorithm>
#include <filesystem>
#include <future>

#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "tests/chat/contacts_world.h"

namespace im::chat {
namespace {

using std::chrono::milliseconds;
using ::testing::Optional;

// im-presence's end of a stream. Blocks; what does not come in 30 s fails the test.
class Presence {
 public:
  explicit Presence(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(internal::v1::RelationService::NewStub(channel)) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    stream_ = stub_->WatchRelations(&context_);
  }
  ~Presence() {
    if (ended_) return;
    context_.TryCancel();
    const grpc::Status ignored = stream_->Finish();
  }

  void Add(const std::vector<int64_t>& users) {
    internal::v1::WatchRelationsRequest request;
    request.mutable_add_user_ids()->Add(users.begin(), users.end());
    stream_->Write(request);
  }
  void Drop(const std::vector<int64_t>& users) {
    internal::v1::WatchRelationsRequest request;
    request.mutable_remove_user_ids()->Add(users.begin(), users.end());
    stream_->Write(request);
  }
  void Acknowledge(uint64_t number) {
    internal::v1::WatchRelationsRequest request;
    request.set_acknowledged(number);
    stream_->Write(request);
  }

  // The next answer: "#1 1:2,3 2:".
  std::string Hears() {
    internal::v1::WatchRelationsResponse response;
    if (!stream_->Read(&response)) return "ended";
    EXPECT_EQ(response.number(), last_ + 1);
    last_ = response.number();
    std::vector<std::string> pictures;
    for (const internal::v1::Relations& relations : response.relations()) {
      std::vector<int64_t> others(relations.visible_user_ids().begin(),
                                  relations.visible_user_ids().end());
      std::sort(others.begin(), others.end());
      pictures.push_back(absl::StrCat(relations.user_id(), ":", absl::StrJoin(others, ",")));
    }
    std::sort(pictures.begin(), pictures.end());
    return absl::StrCat("#", last_, " ", absl::StrJoin(pictures, " "));
  }
  uint64_t last() const { return last_; }

  absl::Status End() {
    internal::v1::WatchRelationsResponse response;
    while (stream_->Read(&response)) {
    }
    ended_ = true;
    return rpc::FromGrpc(stream_->Finish());
  }

 private:
  std::unique_ptr<internal::v1::RelationService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<internal::v1::WatchRelationsRequest,
                                           internal::v1::WatchRelationsResponse>>
      stream_;
  uint64_t last_ = 0;
  bool ended_ = false;
};

class ContactsRelationsTest : public ContactsWorld {
 protected:
  ContactsRelationsTest() {
    folder_ = std::filesystem::temp_directory_path() / ("im-relations-" + RandomHex(6));
    std::filesystem::create_directory(folder_);
    const std::string address = "unix:" + (folder_ / "chat.sock").string();
    auto server = rpc::Server::Start({.listen = {{.address = address}},
                                      .services = {&relations_},
                                      .healthy = [] { return true; }});
    if (!server.ok()) throw std::runtime_error(server.status().ToString());
    server_ = *std::move(server);
    channel_ = rpc::Connect(address);
  }
  ~ContactsRelationsTest() override {
    relations_.Shutdown();
    server_->Shutdown(std::chrono::seconds(5));
    std::filesystem::remove_all(folder_);
  }

  std::future<absl::Status> BlockInBackground(int64_t user, int64_t other) {
    return std::async(std::launch::async,
                      [this, user, other] { return contacts_.Block(user, other, New()); });
  }

  std::filesystem::path folder_;
  std::unique_ptr<rpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(ContactsRelationsTest, TheSnapshotHoldsContactsWithoutBlocks) {
  for (const int64_t other : {10, 11, 12, 13}) BecomeContacts(kAnn, other);
  ASSERT_TRUE(contacts_.Block(kAnn, 11, New()).ok());
  ASSERT_TRUE(contacts_.Block(12, kAnn, New()).ok());
  ASSERT_TRUE(contacts_.Request(kBob, kAnn, New(), "").ok());
  Presence presence(channel_);
  presence.Add({kAnn, 10, 11, kBob, kNobody});
  EXPECT_EQ(presence.Hears(), "#1 1000: 10:1 11: 1:10,13 2:");
  // Asked again it is told again.
  presence.Add({10});
  EXPECT_EQ(presence.Hears(), "#2 10:1");
}

TEST_F(ContactsRelationsTest, EveryChangeIsTold) {
  Presence presence(channel_);
  presence.Add({kAnn, kBob, kEve});
  EXPECT_EQ(presence.Hears(), "#1 1: 2: 3:");
  BecomeContacts(kAnn, kBob);
  EXPECT_EQ(presence.Hears(), "#2 1:2 2:1");
  // Asking back accepts.
  ASSERT_TRUE(contacts_.Request(kAnn, kEve, New(), "").ok());
  ASSERT_TRUE(contacts_.Request(kEve, kAnn, New(), "").ok());
  EXPECT_EQ(presence.Hears(), "#3 1:2,3 3:1");
  ASSERT_TRUE(contacts_.Remove(kEve, kAnn, New()).ok());
  EXPECT_EQ(presence.Hears(), "#4 1:2 3:");
  std::future<absl::Status> block = BlockInBackground(kAnn, kBob);
  EXPECT_EQ(presence.Hears(), "#5 1: 2:");
  presence.Acknowledge(5);
  EXPECT_TRUE(block.get().ok());
  ASSERT_TRUE(contacts_.Unblock(kAnn, kBob, New()).ok());
  EXPECT_EQ(presence.Hears(), "#6 1:2 2:1");
  // Of those who are watched no more nothing is told.
  presence.Drop({kBob});
  presence.Add({10});
  EXPECT_EQ(presence.Hears(), "#7 10:");
  ASSERT_TRUE(contacts_.Remove(kAnn, kBob, New()).ok());
  EXPECT_EQ(presence.Hears(), "#8 1:");
}

TEST_F(ContactsRelationsTest, ABlockIsAnsweredWhenAllWatchersHaveIt) {
  BecomeContacts(kAnn, kBob);
  Presence one(channel_), other(channel_), unrelated(channel_);
  one.Add({kAnn});
  other.Add({kBob});
  unrelated.Add({kEve});
  EXPECT_EQ(one.Hears(), "#1 1:2");
  EXPECT_EQ(other.Hears(), "#1 2:1");
  EXPECT_EQ(unrelated.Hears(), "#1 3:");
  std::future<absl::Status> block = BlockInBackground(kAnn, kBob);
  EXPECT_EQ(one.Hears(), "#2 1:");
  EXPECT_EQ(other.Hears(), "#2 2:");
  one.Acknowledge(2);
  // An answer that came before the change proves nothing.
  other.Acknowledge(1);
  EXPECT_EQ(block.wait_for(milliseconds(100)), std::future_status::timeout);
  other.Acknowledge(2);
  EXPECT_TRUE(block.get().ok());
  // Both are still served.
  ASSERT_TRUE(contacts_.Unblock(kAnn, kBob, New()).ok());
  EXPECT_EQ(one.Hears(), "#3 1:2");
  EXPECT_EQ(other.Hears(), "#3 2:1");
}

TEST_F(ContactsRelationsTest, AWatcherThatNeverAcknowledgesIsCut) {
  BecomeContacts(kAnn, kBob);
  Presence deaf(channel_), good(channel_);
  deaf.Add({kAnn});
  good.Add({kBob});
  EXPECT_EQ(deaf.Hears(), "#1 1:2");
  EXPECT_EQ(good.Hears(), "#1 2:1");
  const auto started = std::chrono::steady_clock::now();
  std::future<absl::Status> block = BlockInBackground(kAnn, kBob);
  EXPECT_EQ(good.Hears(), "#2 2:");
  good.Acknowledge(2);
  EXPECT_TRUE(block.get().ok());
  const auto took = std::chrono::steady_clock::now() - started;
  EXPECT_GE(took, milliseconds(1000));
  EXPECT_LT(took, milliseconds(5000));
  EXPECT_THAT(ReasonOf(deaf.End()), Optional(Reason::DEADLINE_EXCEEDED));
  // It comes back and takes a new snapshot.
  Presence again(channel_);
  again.Add({kAnn});
  EXPECT_EQ(again.Hears(), "#1 1:");
  ASSERT_TRUE(contacts_.Unblock(kAnn, kBob, New()).ok());
  EXPECT_EQ(good.Hears(), "#3 2:1");
}

TEST_F(ContactsRelationsTest, AWatcherThatDoesNotReadIsCut) {
  // A snapshot that does not fit into the windows of the stream, so that a write hangs.
  database_.Exec(
      "INSERT INTO chat.contacts (user_id, other_user_id, state) "
      "SELECT a, b, 4 FROM generate_series(100001, 100300) a, generate_series(100001, 100300) b "
      "WHERE a <> b");
  Presence stuck(channel_);
  std::vector<int64_t> users = {kAnn};
  for (int64_t user = 100001; user <= 100300; ++user) users.push_back(user);
  stuck.Add(users);
  EXPECT_NE(stuck.Hears(), "ended");
  EXPECT_TRUE(BlockInBackground(kAnn, kBob).get().ok());
  EXPECT_FALSE(stuck.End().ok());
}

TEST_F(ContactsRelationsTest, AWatcherThatLeavesHoldsNobodyUp) {
  BecomeContacts(kAnn, kBob);
  auto leaving = std::make_unique<Presence>(channel_);
  leaving->Add({kAnn});
  EXPECT_EQ(leaving->Hears(), "#1 1:2");
  std::future<absl::Status> block = BlockInBackground(kAnn, kBob);
  EXPECT_EQ(leaving->Hears(), "#2 1:");
  const auto left = std::chrono::steady_clock::now();
  leaving.reset();
  EXPECT_TRUE(block.get().ok());
  EXPECT_LT(std::chrono::steady_clock::now() - left, milliseconds(900));
}

TEST_F(ContactsRelationsTest, ALargeSnapshotComesInSeveralAnswers) {
  database_.Exec(
      "INSERT INTO chat.contacts (user_id, other_user_id, state) "
      "SELECT i, i + 1, 4 FROM generate_series(2001, 2449) i UNION ALL "
      "SELECT i + 1, i, 4 FROM generate_series(2001, 2449) i");
  Presence presence(channel_);
  std::vector<int64_t> users;
  for (int64_t user = 2001; user <= 2450; ++user) users.push_back(user);
  presence.Add(users);
  int told = 0;
  while (told < 450) {
    const std::string heard = presence.Hears();
    ASSERT_NE(heard, "ended");
    told += static_cast<int>(std::count(heard.begin(), heard.end(), ':'));
  }
  EXPECT_EQ(told, 450);
  EXPECT_GT(presence.last(), 1u);
  const uint64_t next = presence.last() + 1;
  presence.Add({2001, 2450});
  EXPECT_EQ(presence.Hears(), absl::StrCat("#", next, " 2001:2002 2450:2449"));
}

TEST_F(ContactsRelationsTest, WhatCannotBeReadEndsTheStream) {
  Presence presence(channel_);
  presence.Add({kAnn});
  EXPECT_EQ(presence.Hears(), "#1 1:");
  database_.Exec("ALTER TABLE chat.contacts RENAME TO gone");
  presence.Add({kBob});
  EXPECT_THAT(ReasonOf(presence.End()), Optional(Reason::INTERNAL));
}

TEST_F(ContactsRelationsTest, AnUnknownOutcomeEndsTheStreamsItConcerns) {
  BecomeContacts(kAnn, kBob);
  Presence presence(channel_), unrelated(channel_);
  presence.Add({kBob});
  unrelated.Add({kEve});
  EXPECT_EQ(presence.Hears(), "#1 2:1");
  EXPECT_EQ(unrelated.Hears(), "#1 3:");
  database_.Exec(
      "CREATE FUNCTION chat.die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$; "
      "CREATE TRIGGER die BEFORE UPDATE ON chat.contacts FOR EACH ROW EXECUTE FUNCTION chat.die()");
  EXPECT_THAT(ReasonOf(contacts_.Block(kAnn, kBob, New())), Optional(Reason::OUTCOME_UNKNOWN));
  EXPECT_FALSE(presence.End().ok());
  database_.Exec("DROP TRIGGER die ON chat.contacts");
  unrelated.Add({kEve});
  EXPECT_EQ(unrelated.Hears(), "#2 3:");
}

TEST_F(ContactsRelationsTest, AfterTheShutdownNoneIsTaken) {
  Presence presence(channel_);
  presence.Add({kAnn});
  EXPECT_EQ(presence.Hears(), "#1 1:");
  relations_.Shutdown();
  // With its reason, unless the write is still to be confirmed: then the stream is cancelled.
  EXPECT_FALSE(presence.End().ok());
  EXPECT_THAT(ReasonOf(Presence(channel_).End()), Optional(Reason::SHUTTING_DOWN));
}

}  // namespace
}  // namespace im::chat
