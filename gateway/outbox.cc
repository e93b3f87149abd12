#include "gateway/outbox.h"

#include <utility>

namespace im::gateway {
namespace {

// What an item costs beside its bytes.
constexpr size_t kItemBytes = 64;
// Nobody else's: services choose keys with a slash.
constexpr char kPictureKey[] = "picture";

}  // namespace

void Outbox::Push(Item item) {
  const size_t bytes = item.frame.size() + kItemBytes;
  if (item.kind == Kind::kLive) {
    live_bytes_ += bytes;
    if (item.key == kPictureKey) keyed_.clear();
    if (!item.key.empty()) keyed_[item.key] = popped_ + items_.size();
  } else {
    kept_bytes_ += bytes;
  }
  if (item.kind == Kind::kAnswer) ++answers_;
  if (item.kind == Kind::kResync) resync_waits_ = true;
  items_.push_back(std::move(item));
}

void Outbox::Keep(const Frame& frame) { Push({frame, Kind::kKept, {}}); }

void Outbox::KeepAnswer(const Frame& frame) { Push({frame, Kind::kAnswer, {}}); }

bool Outbox::AddLive(const Frame& frame, const std::string& replace_key, bool fleeting) {
  if (!replace_key.empty()) {
    const auto found = keyed_.find(replace_key);
    if (found != keyed_.end()) {
      Item& item = items_[found->second - popped_];
      live_bytes_ = live_bytes_ - item.frame.size() + frame.size();
      item.frame = frame;
      return true;
    }
  }
  Push({frame, Kind::kLive, replace_key, fleeting});
  return KeepBudget();
}

bool Outbox::AddPicture(const Frame& frame) {
  Push({frame, Kind::kLive, kPictureKey, true});
  return KeepBudget();
}

bool Outbox::KeepBudget() {
  if (live_bytes_ <= budget_) return true;
  Drop([](const Item& item) { return item.fleeting; });
  if (live_bytes_ <= budget_) return true;
  DropLive();
  return false;
}

void Outbox::AddResync() {
  if (!resync_waits_) Push({ResyncFrame(), Kind::kResync, {}});
}

void Outbox::Append(Outbox* from) {
  for (Item& item : from->items_) {
    if (item.kind == Kind::kResync) {
      AddResync();
    } else {
      Push(std::move(item));
    }
  }
  fleeting_dropped_ += from->fleeting_dropped_;
  from->fleeting_dropped_ = 0;
  from->Clear();
}

bool Outbox::Pop(Frame* frame) {
  if (items_.empty()) return false;
  Item& item = items_.front();
  *frame = item.frame;
  const size_t bytes = item.frame.size() + kItemBytes;
  if (item.kind == Kind::kLive) {
    live_bytes_ -= bytes;
    if (!item.key.empty()) keyed_.erase(item.key);
  } else {
    kept_bytes_ -= bytes;
  }
  if (item.kind == Kind::kAnswer) --answers_;
  if (item.kind == Kind::kResync) resync_waits_ = false;
  items_.pop_front();
  ++popped_;
  return true;
}

template <typename Predicate>
void Outbox::Drop(Predicate drop) {
  Fifo<Item> items = std::exchange(items_, {});
  keyed_.clear();
  answers_ = live_bytes_ = kept_bytes_ = 0;
  for (Item& item : items) {
    if (item.kind == Kind::kLive && drop(item)) {
      if (item.fleeting) ++fleeting_dropped_;
    } else {
      Push(std::move(item));
    }
  }
}

void Outbox::DropLive() {
  Drop([](const Item&) { return true; });
}

void Outbox::Clear() {
  items_.clear();
  keyed_.clear();
  answers_ = live_bytes_ = kept_bytes_ = 0;
  resync_waits_ = false;
}

}  // namespace im::gateway
