#include "imctl/chat_view.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/inbox.h"
#include "imctl/describe.h"

namespace im::imctl {
namespace {

// Of SetTyping: taken as ended after this without another one.
constexpr std::chrono::seconds kTypingLasts(8);

}  // namespace

bool ChatView::Take(const chat::v1::Entry& entry) {
  if (entry.conversation_id() != conversation_id_ || entry.seq() <= shown_seq_) return false;
  shown_seq_ = entry.seq();
  if (entry.sender_user_id() == own_) {
    if (entry.has_message()) last_own_seq_ = entry.seq();
    std::erase_if(pending_,
                  [&](const Pending& one) { return one.request_id == entry.request_id(); });
  } else {
    typing_.erase(entry.sender_user_id());
    if (entry.has_message()) SetWatermark(client::WatermarkOfSender(entry));
  }
  return true;
}

void ChatView::Skip(int64_t seq) { shown_seq_ = std::max(shown_seq_, seq); }

void ChatView::Forget() {
  shown_seq_ = 0;
  last_own_seq_ = 0;
  watermarks_.clear();
}

void ChatView::Add(const std::string& request_id, const std::string& text) {
  pending_.push_back({request_id, text});
}

std::string ChatView::Drop(const std::string& request_id) {
  const auto it = std::find_if(pending_.begin(), pending_.end(),
                               [&](const Pending& one) { return one.request_id == request_id; });
  if (it == pending_.end()) return "";
  std::string text = std::move(it->text);
  pending_.erase(it);
  return text;
}

void ChatView::SetTyping(int64_t user_id, bool typing, Time now) {
  if (user_id == own_) return;
  if (typing) {
    typing_[user_id] = now + kTypingLasts;
  } else {
    typing_.erase(user_id);
  }
}

std::vector<int64_t> ChatView::Typing(Time now) const {
  std::vector<int64_t> ids;
  for (const auto& [id, until] : typing_) {
    if (until > now) ids.push_back(id);
  }
  return ids;
}

void ChatView::SetWatermark(const chat::v1::Watermark& watermark) {
  if (watermark.user_id() == own_) return;
  chat::v1::Watermark& mine = watermarks_[watermark.user_id()];
  mine.set_read_seq(std::max(mine.read_seq(), watermark.read_seq()));
  mine.set_delivered_seq(std::max(mine.delivered_seq(), watermark.delivered_seq()));
}

void ChatView::SetPresence(const presence::v1::Event& event) {
  if (event.complete()) presence_ = "offline";
  for (const auto& one : event.presences()) {
    if (one.user_id() == peer_) presence_ = Describe(one);
  }
}

std::string ChatView::Progress() const {
  if (last_own_seq_ == 0) return "";
  int received = 0;
  int read = 0;
  for (const auto& [id, watermark] : watermarks_) {
    if (watermark.delivered_seq() >= last_own_seq_) ++received;
    if (watermark.read_seq() >= last_own_seq_) ++read;
  }
  if (peer_ != 0) return read > 0 ? "read" : received > 0 ? "received" : "sent";
  if (read > 0) return absl::StrCat("read by ", read);
  return received > 0 ? absl::StrCat("received by ", received) : "sent";
}

}  // namespace im::imctl
