#include <signal.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "client/session.h"
#include "imctl/commands.h"
#include "imctl/conversations.h"
#include "imctl/describe.h"
#include "imctl/escape.h"
#include "imctl/event_loop.h"
#include "imctl/explain_end.h"
#include "imctl/output.h"
#include "imctl/statuses.h"

namespace im::imctl {
namespace {

using client::ConnectionState;
using std::chrono::milliseconds;

// What is had is written at most this often: what was printed since is printed again after a crash.
constexpr milliseconds kSaveEvery(1000);
// Further lines of a text stand below its first one, unless the title before it is long.
constexpr int kDeepest = 24;

// Prints events on the loop's thread, in the order they came, and keeps what was printed.
class Listener : public client::Observer {
 public:
  Listener(Context* context, const Profile* profile, EventLoop* loop, bool once)
      : context_(context),
        profile_(profile),
        loop_(loop),
        once_(once),
        people_(context),
        conversations_(context) {}

  void SetSession(client::Session* session, client::Timers* timers) {
    session_ = session;
    timers_ = timers;
  }
  const absl::Status& result() const { return result_; }

  void OnConnection(ConnectionState state, const absl::Status& why,
                    milliseconds retry_in) override {
    loop_->Post([=, this] { Connection(state, why, retry_in); });
  }
  void OnForgotten() override {
    loop_->Post([this] {
      Print("forgotten", "", "# the server's data is not what it was: beginning anew");
    });
  }
  void OnConversation(const chat::v1::Conversation& conversation, bool listed) override {
    loop_->Post([=, this] {
      conversations_.Put(conversation);
      if (context_->json()) {
        Put(absl::StrCat("{\"event\":\"conversation\",\"listed\":", listed ? "true" : "false",
                         ",\"conversation\":", ToJson(conversation), "}"));
      } else if (listed && conversation.unread_count() > 0) {
        Put(absl::StrCat("# [", Escape(Title(conversation.conversation_id())), "] ",
                         conversation.unread_count(), " unread"));
      }
      Changed();
    });
  }
  void OnEntry(const chat::v1::Entry& entry) override {
    loop_->Post([=, this] {
      const std::string title = Title(entry.conversation_id());
      const std::string head = absl::StrCat(FormatShortTime(entry.at()), " [", Escape(title), "] ");
      const std::string indent(std::min(DisplayWidth(head), kDeepest), ' ');
      Print("entry",
            context_->json() ? absl::StrCat("\"title\":", JsonString(title),
                                            ",\"entry\":", ToJson(people_, entry))
                             : "",
            context_->json() ? "" : head + Describe(people_, entry, indent), indent);
      Changed();
    });
  }
  void OnGap(const chat::v1::Gap& gap) override {
    loop_->Post([=, this] {
      const std::string title = Title(gap.conversation_id());
      Print("gap", absl::StrCat("\"title\":", JsonString(title), ",\"gap\":", ToJson(gap)),
            absl::StrCat("# [", Escape(title), "] ", gap.from_seq(), " to ", gap.to_seq(),
                         // By id: the title is what somebody chose, and this is to be pasted.
                         " were left out: imctl history conversation:", gap.conversation_id(),
                         " --after ", gap.from_seq() - 1));
      Changed();
    });
  }
  void OnWatermark(const chat::v1::WatermarkChanged& changed) override {
    loop_->Post([=, this] {
      const std::string who = people_.Name(changed.watermark().user_id());
      const std::string title = Title(changed.conversation_id());
      Print("watermark",
            absl::StrCat("\"title\":", JsonString(title), ",\"user_name\":", JsonString(who),
                         ",\"watermark\":", ToJson(changed)),
            absl::StrCat("# [", Escape(title), "] ", Escape(who), " received up to ",
                         changed.watermark().delivered_seq(), ", read up to ",
                         changed.watermark().read_seq()));
      Changed();
    });
  }
  void OnTyping(const chat::v1::TypingChanged& typing) override {
    loop_->Post([=, this] {
      const std::string who = people_.Name(typing.user_id());
      const std::string title = Title(typing.conversation_id());
      Print("typing",
            absl::StrCat("\"title\":", JsonString(title), ",\"user_name\":", JsonString(who),
                         ",\"typing\":", ToJson(typing)),
            absl::StrCat("# [", Escape(title), "] ", Escape(who),
                         typing.typing() ? " is typing" : " stopped typing"));
    });
  }
  void OnOwnRecord(const chat::v1::OwnRecord& record) override {
    loop_->Post([=, this] {
      OwnRecord(record);
      Changed();
    });
  }
  void OnPresence(const presence::v1::Event& event) override {
    loop_->Post([=, this] {
      std::vector<int64_t> ids;
      for (const auto& one : event.presences()) ids.push_back(one.user_id());
      people_.Load(ids);
      if (context_->json()) {
        std::string presences;
        for (const auto& one : event.presences()) {
          absl::StrAppend(&presences, presences.empty() ? "" : ",",
                          ToJson(one, {{"user_name", people_.Name(one.user_id())}}));
        }
        return Put(absl::StrCat(
            "{\"event\":\"presence\",\"complete\":", event.complete() ? "true" : "false",
            ",\"presences\":[", presences, "]}"));
      }
      for (const auto& one : event.presences()) {
        Put(absl::StrCat("# ", Escape(people_.Name(one.user_id())), " is ", Describe(one)));
      }
    });
  }

  // Writes what is had once all events before have been printed, then leaves.
  void Leave() {
    if (leaving_) return loop_->Stop();
    leaving_ = true;
    Save([this] { loop_->Stop(); });
  }

 private:
  // What cannot be printed is not had: the next run begins before it.
  void Put(const std::string& text, const std::string& indent = "  ") {
    context_->json() ? PrintLine(text) : PrintText(text, indent);
    Fail(OutputStatus());
  }
  void Fail(const absl::Status& status) {
    if (status.ok() || !result_.ok()) return;
    result_ = status;
    loop_->Stop();
  }

  void Print(const std::string& event, const std::string& json, const std::string& text,
             const std::string& indent = "  ") {
    if (context_->json()) {
      Put(absl::StrCat("{\"event\":", JsonString(event), json.empty() ? "" : ",", json, "}"));
    } else {
      Put(text, indent);
    }
  }

  std::string Title(int64_t conversation_id) {
    return conversations_.Title(people_, conversation_id);
  }

  void Connection(ConnectionState state, const absl::Status& why, milliseconds retry_in) {
    switch (state) {
      case ConnectionState::kConnecting:
      case ConnectionState::kResuming:
        return;
      case ConnectionState::kLive:
        Say("live", "# connected", absl::OkStatus());
        if (once_) Leave();
        return;
      case ConnectionState::kWaiting:
        return Say("waiting",
                   absl::StrCat("# not connected (", Escape(std::string(why.message())),
                                "), trying again in ", retry_in.count() / 1000.0, " s"),
                   why);
      case ConnectionState::kEnded:
        result_ = ExplainEnd(why);
        return Leave();
    }
  }

  // Of the connection; beside the events, so that they can be taken alone.
  void Say(const std::string& state, const std::string& line, const absl::Status& why) {
    if (context_->json()) {
      Put(absl::StrCat("{\"event\":\"connection\",\"state\":", JsonString(state),
                       ",\"why\":", JsonString(std::string(why.message())), "}"));
    } else {
      fprintf(stderr, "%s\n", line.c_str());
    }
  }

  void OwnRecord(const chat::v1::OwnRecord& record) {
    std::string name;
    std::string line;
    if (record.has_contact()) {
      name = people_.Name(record.contact().user_id());
      line = absl::StrCat("# contacts: ", Escape(name), ": ", Describe(record.contact().state()),
                          record.contact().blocked() ? ", blocked" : "",
                          record.contact().greeting().empty() ? "" : ": ",
                          Escape(record.contact().greeting()));
    } else if (record.has_read_mark()) {
      name = Title(record.read_mark().conversation_id());
      line = absl::StrCat("# [", Escape(name), "] you read up to ", record.read_mark().read_seq());
    } else if (record.has_settings()) {
      line = absl::StrCat("# settings: reachable by ",
                          record.settings().reachability() == chat::v1::REACHABILITY_ANYONE
                              ? "anyone"
                              : "contacts");
    } else {
      line = "# something about your account that this imctl does not know";
    }
    Print("own_record",
          absl::StrCat("\"name\":", JsonString(name), ",\"own_record\":", ToJson(record)), line);
  }

  void Changed() {
    if (save_planned_ || leaving_) return;
    save_planned_ = true;
    timers_->After(kSaveEvery, [this] {
      loop_->Post([this] {
        save_planned_ = false;
        if (!leaving_) Save([] {});
      });
    });
  }

  // The snapshot takes its turn behind the events before it, so it never says more than was
  // printed.
  void Save(std::function<void()> then) {
    session_->WithSnapshot([this, then](const client::Snapshot& snapshot) {
      loop_->Post([this, snapshot, then] {
        // Not listed to the end yet: nothing to go on from.
        if (snapshot.have.epoch() != 0 && OutputStatus().ok()) {
          Fail(profile_->WriteSnapshot(snapshot));
        }
        then();
      });
    });
  }

  Context* const context_;
  const Profile* const profile_;
  EventLoop* const loop_;
  const bool once_;
  client::Session* session_ = nullptr;
  client::Timers* timers_ = nullptr;
  People people_;
  Conversations conversations_;
  absl::Status result_;
  bool save_planned_ = false;
  bool leaving_ = false;
};

struct Options {
  bool fresh = false;
  bool once = false;
  std::string status = "online";
};

absl::Status Listen(Context& context, const Options& options) {
  IM_RETURN_IF_ERROR(context.GetAccount().status());
  // First, since it decides about the signals of all threads after it.
  EventLoop loop;
  IM_ASSIGN_OR_RETURN(const Profile* profile, context.OpenProfile());
  IM_ASSIGN_OR_RETURN(const auto channel, context.OpenChannel());
  IM_ASSIGN_OR_RETURN(const auto tokens, context.OpenTokens());
  client::SessionOptions session_options;
  session_options.status = StatusOf(options.status);
  if (!options.fresh) {
    IM_ASSIGN_OR_RETURN(session_options.snapshot, profile->ReadSnapshot());
  }
  Listener listener(&context, profile, &loop, options.once);
  client::TimerThread timers;
  client::Session session(channel, tokens, &timers, &listener, session_options);
  listener.SetSession(&session, &timers);
  loop.OnSignal([&](int signal) {
    if (signal != SIGWINCH) listener.Leave();
  });
  session.Start();
  loop.Run();
  session.Stop();
  return listener.result();
}

}  // namespace

void AddListen(CLI::App& app, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(
      app, "listen", "Print everything that happens, and first what was missed since the last run",
      "imctl listen\n"
      "imctl --json listen | jq -r 'select(.event == \"entry\").entry.message.text.body'\n"
      "imctl listen --once      # what was missed, then end");
  command->add_flag("--fresh", options->fresh, "Begin now instead of where the last run ended");
  command->add_flag("--once", options->once, "End when everything that was missed is printed");
  AddStatusOption(command, &options->status);
  command->callback(
      [=] { *run = [options](Context& context) { return Listen(context, *options); }; });
}

}  // namespace im::imctl
