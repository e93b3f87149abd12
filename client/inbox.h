// What a device has of its conversations, and the rule for live entries (sync.proto).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "im/chat/v1/conversations.pb.h"
#include "im/chat/v1/entries.pb.h"
#include "im/chat/v1/messages.pb.h"
#include "im/chat/v1/sync.pb.h"

namespace im::client {

// Whoever sends a message has read all up to it, of which nothing else tells.
chat::v1::Watermark WatermarkOfSender(const chat::v1::Entry& message);

// Decides for every entry that arrives, whichever way, whether it is applied, dropped or kept until
// what lies before it was loaded. Logic only: what it needs done, it asks of its host. Not
// thread-safe, and not to be called from inside of its host's functions.
class Inbox {
 public:
  class Host {
   public:
    virtual ~Host() = default;
    // An entry in its place: each once, in the order of seq in each conversation.
    virtual void Apply(const chat::v1::Entry& entry) = 0;
    // Something is missing in a conversation. Call LoadNow after a grace: what overtook each other
    // on the way may be complete by then.
    virtual void LoadSoon(int64_t conversation_id) = 0;
    // ListEntries after `after_seq` up to `to_seq`, page by page: Loaded for each, at last
    // LoadDone.
    virtual void Load(int64_t conversation_id, int64_t after_seq, int64_t to_seq) = 0;
    // GetConversation; then Learn and LookDone.
    virtual void Look(int64_t conversation_id) = 0;
  };

  explicit Inbox(Host* host) : host_(host) {}

  // Whose device it is; from Welcome.
  void SetUser(int64_t user_id) { user_id_ = user_id; }
  // What was had in an earlier run: `have`, and of these conversations the stays.
  void Restore(const chat::v1::Have& have, const std::vector<chat::v1::Conversation>& known);
  void Forget();
  // The conversations of Have, and all that Restore wants to get back.
  void FillHave(chat::v1::Have* have) const;
  std::vector<chat::v1::Conversation> Known() const;

  // While listing, entries of conversations that are not known wait for Listed of them.
  void BeginListing() { listing_ = true; }
  // A conversation of the list: counts as had up to its last entry, unless some of it is had
  // already; then what follows, up to the last one, is loaded. Returns whether it was new.
  bool Listed(const chat::v1::Conversation& conversation);
  void EndListing();

  void OnEntry(const chat::v1::Entry& entry);
  void OnGap(const chat::v1::Gap& gap);
  // Event.conversation, or the answer to Look.
  void Learn(const chat::v1::Conversation& conversation);
  void OnWatermark(const chat::v1::WatermarkChanged& watermark);

  void LoadNow(int64_t conversation_id);
  void Loaded(int64_t conversation_id, const chat::v1::ListEntriesResponse& page);
  void LoadDone(int64_t conversation_id, int64_t to_seq);
  void LookDone(int64_t conversation_id);
  // What was asked of the host will not come: a new Have brings what is missing.
  void Abandon();

  // Entries dropped since they were had already.
  int64_t repeats() const { return repeats_; }
  // The newest seq had; 0: none.
  int64_t HaveSeq(int64_t conversation_id) const;

 private:
  struct Conversation {
    int64_t have = 0;
    // Whether the stays are known; where not, everything after `have` may be missing.
    bool known = false;
    chat::v1::Conversation about;
    // Entries whose turn has not come.
    std::map<int64_t, chat::v1::Entry> later;
    // The newest of those that found no room in `later`.
    int64_t overflow = 0;
    enum { kIdle, kGrace, kLooking, kLoading } fetching = kIdle;
  };

  Conversation& At(int64_t conversation_id);
  // If it is of the peer of a direct conversation.
  void RaisePeer(Conversation& conversation, const chat::v1::Watermark& watermark) const;
  void BeginStay(Conversation& conversation, const chat::v1::Entry& entry) const;
  void EndStay(Conversation& conversation, const chat::v1::Entry& entry) const;
  // Whether everything between what is had and `seq` is known not to be expected.
  bool IsNext(const Conversation& conversation, int64_t seq) const;
  void ApplyNow(Conversation& conversation, const chat::v1::Entry& entry);
  // Applies what waits and has become next, also while something is loaded; asks for what is
  // missing before the rest.
  void Settle(int64_t conversation_id, Conversation& conversation);

  Host* const host_;
  int64_t user_id_ = 0;
  bool listing_ = false;
  int64_t repeats_ = 0;
  std::unordered_map<int64_t, Conversation> conversations_;
};

}  // namespace im::client
