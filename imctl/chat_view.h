// What a chat shows: the conversation as it grows, what is on its way, who types, who has read.
// Logic only; printing is its owner's.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "im/chat/v1/sync.pb.h"
#include "im/presence/v1/presence.pb.h"

namespace im::imctl {

class ChatView {
 public:
  using Time = std::chrono::steady_clock::time_point;

  ChatView(int64_t conversation_id, int64_t own_user_id, int64_t peer_user_id)
      : conversation_id_(conversation_id), own_(own_user_id), peer_(peer_user_id) {}

  // Whether an entry is to be printed now: it is of this conversation and not older than what was
  // printed. Settles the line it was sent as.
  bool Take(const chat::v1::Entry& entry);
  int64_t shown_seq() const { return shown_seq_; }
  // Everything up to here counts as printed.
  void Skip(int64_t seq);
  // The data is not what it was: sequence numbers begin anew.
  void Forget();

  // Own lines that have no place in the conversation yet, oldest first.
  struct Pending {
    std::string request_id;
    std::string text;
  };
  void Add(const std::string& request_id, const std::string& text);
  // The line is not going to be stored; returns its text.
  std::string Drop(const std::string& request_id);
  const std::vector<Pending>& pending() const { return pending_; }

  void SetTyping(int64_t user_id, bool typing, Time now);
  void SetWatermark(const chat::v1::Watermark& watermark);
  void SetPresence(const presence::v1::Event& event);
  void SetConnection(const std::string& trouble) { trouble_ = trouble; }

  // Who types now.
  std::vector<int64_t> Typing(Time now) const;
  // "bob is online; read", without what nobody knows. `name` names people, escaped.
  template <typename Name>
  std::string Status(Time now, Name name) const {
    std::string status;
    const auto add = [&](const std::string& part) {
      if (part.empty()) return;
      status += (status.empty() ? "" : " | ") + part;
    };
    add(trouble_);
    if (trouble_.empty() && peer_ != 0 && !presence_.empty()) add(name(peer_) + " is " + presence_);
    add(Progress());
    std::string typing;
    for (const int64_t id : Typing(now)) typing += (typing.empty() ? "" : ", ") + name(id);
    if (!typing.empty()) add(typing + (Typing(now).size() > 1 ? " are typing" : " is typing"));
    return status;
  }

 private:
  // How far the last own message came: "sent", "received", "read", "read by 3 of 7".
  std::string Progress() const;

  const int64_t conversation_id_;
  const int64_t own_;
  const int64_t peer_;
  int64_t shown_seq_ = 0;
  int64_t last_own_seq_ = 0;
  std::vector<Pending> pending_;
  std::map<int64_t, Time> typing_;
  std::map<int64_t, chat::v1::Watermark> watermarks_;
  std::string presence_;
  std::string trouble_;
};

}  // namespace im::imctl
