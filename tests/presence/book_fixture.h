// The book of presence on a clock of the test's own. Not thread-safe.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "services/presence/book.h"

namespace im::presence {

inline constexpr UserId kAlice = 1;
inline constexpr UserId kBob = 2;
inline constexpr UserId kCarol = 3;
inline constexpr LinkId kLink = 10;

// A book, one gateway, and what people's screens show.
class BookTest : public ::testing::Test {
 protected:
  explicit BookTest(size_t feeds = 1) : feeds_(feeds) { Start(); }

  void Start() {
    BookOptions options;
    options.feeds = feeds_;
    book_ = std::make_unique<PresenceBook>(options, now_.steady);
    sessions_.clear();
  }
  // Past the settling after a start, with the gateway linked.
  void Settle() {
    book_->roster().LinkUp(kLink, "gateway", now_);
    book_->roster().Announced(kLink, now_);
    gateways_ = {"gateway"};
    for (int i = 0; i < 3; ++i) Second();
    ASSERT_TRUE(book_->roster().settled());
  }

  void Contacts(UserId a, UserId b) {
    visible_[a].insert(b);
    visible_[b].insert(a);
    Relate(a);
    Relate(b);
  }
  // In either direction: im-chat tells of both.
  void Block(UserId a, UserId b) {
    visible_[a].erase(b);
    visible_[b].erase(a);
    Relate(a);
    Relate(b);
  }
  void Relate(UserId user) {
    if (feed_up_) book_->SetVisible(0, user, {visible_[user].begin(), visible_[user].end()});
    Deliver();
  }
  // im-chat answers what it is asked.
  void Deliver() {
    Outbox outbox = book_->TakeOutbox();
    for (const Change& change : outbox.changes) {
      for (const UserId viewer : change.audience) {
        ++told_;
        screens_[viewer][change.user] = change.status;
        last_seen_[change.user] = change.last_seen;
      }
    }
    for (const Portrait& portrait : outbox.portraits) {
      auto& screen = screens_[sessions_.at(portrait.session)];
      if (portrait.complete) screen.clear();
      for (const auto& [user, status] : portrait.present) screen[user] = status;
      portraits_.push_back(portrait);
    }
    const WatchOrders orders = book_->TakeWatchOrders();
    for (const UserId user : orders.add) watched_.insert(user);
    for (const UserId user : orders.remove) watched_.erase(user);
    if (feed_up_) {
      for (const UserId user : orders.add) Relate(user);
    }
  }

  void Connect(UserId user, uint64_t session, Status status = Status::kOnline, DeviceId device = 0,
               LinkId link = kLink) {
    const SessionKey key{link, session};
    sessions_[key] = user;
    book_->Open(key, user, device == 0 ? user * 100 : device, status, true, now_);
    Deliver();
  }
  void Leave(uint64_t session, bool returning = false, LinkId link = kLink) {
    book_->roster().Close({link, session}, returning, now_);
  }
  void Set(uint64_t session, Status status) {
    ASSERT_TRUE(book_->roster().SetStatus({kLink, session}, status, now_));
  }
  void Pass(std::chrono::milliseconds time) {
    now_.steady += time;
    now_.wall += time;
  }
  // A tick, with the leases read.
  void Second() {
    Pass(std::chrono::seconds(1));
    if (database_up_) book_->roster().SetLeases(gateways_, now_.steady);
    book_->Tick(now_);
    Deliver();
  }
  void Seconds(int count) {
    for (int i = 0; i < count; ++i) Second();
  }
  // What a person's devices show of another.
  Status Shows(UserId viewer, UserId subject) {
    const auto found = screens_[viewer].find(subject);
    return found == screens_[viewer].end() ? Status::kOffline : found->second;
  }

  const size_t feeds_;
  Moment now_{SteadyTime(std::chrono::seconds(1000)),
              WallTime(std::chrono::seconds(1'700'000'000))};
  std::unique_ptr<PresenceBook> book_;
  absl::flat_hash_set<std::string> gateways_;
  bool database_up_ = true;
  bool feed_up_ = true;
  std::map<UserId, std::set<UserId>> visible_;
  std::set<UserId> watched_;
  absl::flat_hash_map<SessionKey, UserId> sessions_;
  std::map<UserId, std::map<UserId, Status>> screens_;
  std::map<UserId, std::optional<WallTime>> last_seen_;
  std::vector<Portrait> portraits_;
  int told_ = 0;
};

}  // namespace im::presence
