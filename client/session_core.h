// The inside of Session; include session.h instead.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "client/connection.h"
#include "client/inbox.h"
#include "client/session.h"
#include "client/strand.h"

namespace im::client {

// Everything happens on strand_; other threads post to it. Kept alive by the session and by what is
// under way.
class Session::Core : public std::enable_shared_from_this<Session::Core>,
                      public Connection::Listener,
                      public Inbox::Host {
 public:
  Core(std::shared_ptr<Channel> channel, std::shared_ptr<TokenSource> tokens, Timers* timers,
       Observer* observer, SessionOptions options);

  void Post(std::function<void(Core&)> work);

  void Start();
  // `stopped` is called once the stream is over.
  void Stop(std::function<void()> stopped);
  void Send(chat::v1::SendMessageRequest request, Sent done);
  void MarkRead(int64_t conversation_id, int64_t seq);
  void SetTyping(int64_t conversation_id, bool typing);
  void SetStatus(presence::v1::Status status, Done done);
  void SendHave();
  Snapshot GetSnapshot() const;
  SessionCounts counts() const;

  // Connection::Listener
  void OnWelcome(const gateway::v1::Welcome& welcome) override;
  void OnFrame(gateway::v1::ServerFrame frame) override;
  void OnClosed(const absl::Status& status,
                const std::optional<gateway::v1::SessionEnd>& end) override;

  // Inbox::Host
  void Apply(const chat::v1::Entry& entry) override;
  void LoadSoon(int64_t conversation_id) override;
  void Load(int64_t conversation_id, int64_t after_seq, int64_t to_seq) override;
  void Look(int64_t conversation_id) override;

 private:
  // Calls `work` on the strand after a delay, unless the stream it was about is gone by then.
  void After(Clock::duration delay, std::function<void(Core&)> work);

  void Connect();
  void OpenWith(const absl::StatusOr<std::string>& token);
  void TryAgain(const absl::Status& why, std::chrono::milliseconds delay);
  void End(const absl::Status& why);
  void Tell(ConnectionState state, const absl::Status& why = absl::OkStatus(),
            std::chrono::milliseconds retry_in = {});

  chat::v1::Have MakeHave() const;
  void CaughtUp(int64_t own_log_position);
  void ListPage(const std::string& page_token);
  void BecomeLive();
  void OnChat(const chat::v1::Event& event);
  void OnOwnLog(const chat::v1::OwnLogChanged& changed);
  void LoadPage(chat::v1::ListEntriesRequest request);

  void Flush();
  void SendOne(const chat::v1::SendMessageRequest& request);
  void FlushMarks();
  void SendMark(int64_t conversation_id, int64_t seq);
  void Acknowledge();

  // A unary call with a good token, tried again while the stream lasts; `done` on the strand, with
  // an answer or with a failure that will stay.
  template <typename Service, typename Method, typename Request, typename Response>
  void Fetch(Method method, Request request, std::function<void(const Response&)> done,
             const std::string& refused_token = "");
  void FetchFailed();

  const std::shared_ptr<Channel> channel_;
  const std::shared_ptr<TokenSource> tokens_;
  Timers* const timers_;
  Observer* const observer_;
  SessionOptions options_;
  Strand strand_;

  std::shared_ptr<Connection> connection_;
  // Rises with every connection, so that what belongs to an older one is told apart.
  uint64_t generation_ = 0;
  std::function<void()> stopped_;
  bool stopping_ = false;
  std::optional<absl::Status> ended_;
  // What the present stream was opened with; the one that was refused, if one was.
  std::string token_;
  std::string refused_token_;
  int refused_in_a_row_ = 0;
  bool live_ = false;
  Clock::time_point live_since_;
  Clock::time_point welcomed_at_;
  // Whether it came back after having been replaced.
  bool replaced_ = false;
  Backoff backoff_;
  Backoff fetch_backoff_;

  int64_t user_id_ = 0;
  int64_t epoch_ = 0;
  // Whether the list of conversations of this epoch has been read to its end.
  bool listed_ = false;
  // Whether pages of it are on their way.
  bool listing_ = false;
  int64_t own_log_position_ = 0;
  // Between Have and CaughtUp; and whether another Have must follow it.
  bool resuming_ = false;
  bool resume_again_ = false;

  Inbox inbox_;
  Outbox outbox_;
  // Marks that the server has not confirmed.
  std::map<int64_t, int64_t> marks_;
  // What is to be acknowledged as delivered.
  std::map<int64_t, int64_t> delivered_;
  SessionCounts counts_;
};

}  // namespace im::client
