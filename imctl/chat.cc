#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <optional>

#include "absl/strings/str_cat.h"
#include "client/session.h"
#include "common/base/text.h"
#include "im/chat/v1/messages.grpc.pb.h"
#include "imctl/chat_view.h"
#include "imctl/commands.h"
#include "imctl/conversations.h"
#include "imctl/describe.h"
#include "imctl/escape.h"
#include "imctl/event_loop.h"
#include "imctl/explain_end.h"
#include "imctl/line_editor.h"
#include "imctl/output.h"
#include "imctl/statuses.h"
#include "imctl/terminal.h"
#include "imctl/wording.h"

namespace im::imctl {
namespace {

using client::ConnectionState;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// SetTyping is repeated this often while it lasts, and shown a little longer than it counts.
constexpr seconds kTypingEvery(5);
constexpr milliseconds kTypingShown(8100);
// How long leaving waits for what is on its way.
constexpr seconds kLeaveWithin(10);
constexpr size_t kPendingShown = 5;
constexpr char kPrompt[] = "> ";

struct Options {
  std::string who;
  int history = 20;
  std::string status = "online";
};

// On the loop's thread but for the observer's functions, which only post to it.
class Chat : public client::Observer {
 public:
  Chat(Context* context, EventLoop* loop, const chat::v1::Conversation& conversation,
       const Account& account, int history)
      : context_(context),
        loop_(loop),
        id_(conversation.conversation_id()),
        history_(history),
        people_(context),
        conversations_(context),
        view_(id_, account.profile.user_id(), conversation.peer_user_id()) {
    conversations_.Put(conversation);
    if (conversation.has_peer_watermark()) view_.SetWatermark(conversation.peer_watermark());
    own_ = account.profile.user_id();
  }

  // A terminal, or plain lines in and out.
  void Begin(client::Session* session, client::Timers* timers, bool terminal) {
    session_ = session;
    timers_ = timers;
    const std::string title = Escape(conversations_.Title(people_, id_));
    if (terminal) {
      terminal_.emplace();
      Say(absl::StrCat("Chat with ", title, ". Enter sends, Ctrl-D leaves."), "  ");
    }
    LoadNewest();
    loop_->OnInput(STDIN_FILENO, [this] { Input(); });
    loop_->OnSignal([this](int signal) {
      if (signal != SIGWINCH) return loop_->Stop();
      if (terminal_) terminal_->Resized();
      Refresh();
    });
  }

  // After the loop: what could not be sent is said.
  absl::Status End() {
    terminal_.reset();
    for (const auto& pending : view_.pending()) {
      fprintf(stderr, "imctl: not known to be sent: %s\n", Escape(pending.text).c_str());
    }
    if (result_.ok() && !view_.pending().empty()) {
      return absl::UnavailableError("left before the server had answered");
    }
    return result_;
  }

  void OnConnection(ConnectionState state, const absl::Status& why,
                    milliseconds retry_in) override {
    loop_->Post([=, this] { Connection(state, why, retry_in); });
  }
  void OnForgotten() override {
    loop_->Post([this] {
      Note("the server's data is not what it was: beginning anew");
      view_.Forget();
      complete_ = false;
    });
  }
  void OnConversation(const chat::v1::Conversation& conversation, bool) override {
    loop_->Post([=, this] { conversations_.Put(conversation); });
  }
  void OnEntry(const chat::v1::Entry& entry) override {
    loop_->Post([=, this] {
      if (entry.conversation_id() != id_) return Elsewhere(entry);
      // Before the first connection is complete, reading back will bring it.
      if (complete_) Show(entry, true);
    });
  }
  void OnGap(const chat::v1::Gap& gap) override {
    loop_->Post([=, this] {
      if (gap.conversation_id() == id_ && complete_) LoadLater();
    });
  }
  void OnWatermark(const chat::v1::WatermarkChanged& changed) override {
    loop_->Post([=, this] {
      if (changed.conversation_id() != id_) return;
      view_.SetWatermark(changed.watermark());
      Refresh();
    });
  }
  void OnTyping(const chat::v1::TypingChanged& typing) override {
    loop_->Post([=, this] {
      if (typing.conversation_id() != id_) return;
      view_.SetTyping(typing.user_id(), typing.typing(), steady_clock::now());
      timers_->After(kTypingShown, [this] { loop_->Post([this] { Refresh(); }); });
      Refresh();
    });
  }
  void OnPresence(const presence::v1::Event& event) override {
    loop_->Post([=, this] {
      view_.SetPresence(event);
      Refresh();
    });
  }

 private:
  // A text for good, escaped.
  void Say(const std::string& text, const std::string& indent) {
    if (terminal_) {
      terminal_->Print(Wrap(text, indent, terminal_->width()));
    } else {
      context_->json() ? PrintLine(text) : PrintText(text, indent);
      if (OutputStatus().ok()) return;
      result_ = OutputStatus();
      loop_->Stop();
    }
  }
  // About the chat, not of it.
  void Note(const std::string& text) {
    if (terminal_) {
      terminal_->Print(Wrap(absl::StrCat("# ", text), "  ", terminal_->width()));
    } else {
      fprintf(stderr, "# %s\n", text.c_str());
    }
  }

  void Show(const chat::v1::Entry& entry, bool live) {
    if (!view_.Take(entry)) return;
    if (context_->json()) {
      Say(ToJson(people_, entry), "");
    } else {
      const std::string head = FormatShortTime(entry.at()) + "  ";
      const std::string indent(head.size(), ' ');
      Say(head + Describe(people_, entry, indent), indent);
    }
    if (entry.sender_user_id() != own_ && OutputStatus().ok()) {
      session_->MarkRead(id_, entry.seq());
      if (live && terminal_) terminal_->Bell();
    }
    Refresh();
    if (leaving_ && view_.pending().empty()) loop_->Stop();
  }

  void Elsewhere(const chat::v1::Entry& entry) {
    if (!terminal_ || entry.sender_user_id() == own_ || !entry.has_message()) return;
    terminal_->Bell();
    Note(absl::StrCat(Escape(people_.Name(entry.sender_user_id())), " wrote in ",
                      Escape(conversations_.Title(people_, entry.conversation_id()))));
  }

  // Prints pages of entries; going forward all of them, else the newest only.
  void Load(chat::v1::ListEntriesRequest request, bool all) {
    for (;;) {
      const auto page = context_->Call(&chat::v1::MessageService::Stub::ListEntries, request);
      if (!page.ok()) {
        return Note(absl::StrCat("cannot read back: ", Escape(Wording(page.status()))));
      }
      for (const auto& entry : page->entries()) Show(entry, false);
      if (!all || page->next_page_token().empty()) return;
      request.set_page_token(page->next_page_token());
    }
  }
  void LoadNewest() {
    if (history_ == 0) return;
    chat::v1::ListEntriesRequest request;
    request.set_conversation_id(id_);
    request.set_page_size(history_);
    Load(std::move(request), false);
  }
  void LoadLater() {
    if (view_.shown_seq() == 0) return LoadNewest();
    chat::v1::ListEntriesRequest request;
    request.set_conversation_id(id_);
    request.set_page_size(200);
    request.set_after_seq(view_.shown_seq());
    Load(std::move(request), true);
  }

  void Connection(ConnectionState state, const absl::Status& why, milliseconds retry_in) {
    switch (state) {
      case ConnectionState::kConnecting:
      case ConnectionState::kResuming:
        return;
      case ConnectionState::kLive:
        if (!trouble_.empty() && !terminal_) Note("connected again");
        trouble_.clear();
        if (!complete_) {
          // What came between reading back and the connection counts as had there.
          complete_ = true;
          LoadLater();
        }
        break;
      case ConnectionState::kWaiting:
        if (trouble_.empty() && !terminal_) {
          Note(absl::StrCat("not connected: ", Escape(Wording(why))));
        }
        trouble_ =
            absl::StrCat("not connected, trying again in ", (retry_in.count() + 999) / 1000, " s");
        break;
      case ConnectionState::kEnded:
        result_ = ExplainEnd(why);
        return loop_->Stop();
    }
    view_.SetConnection(trouble_);
    Refresh();
  }

  void Refresh() {
    if (!terminal_) return;
    std::vector<std::string> lines;
    const auto& pending = view_.pending();
    for (size_t i = pending.size() > kPendingShown ? pending.size() - kPendingShown : 0;
         i < pending.size(); ++i) {
      lines.push_back(absl::StrCat("(sending) ", Escape(pending[i].text)));
    }
    const std::string status =
        view_.Status(steady_clock::now(), [this](int64_t id) { return Escape(people_.Name(id)); });
    lines.push_back(status.empty() ? "--" : absl::StrCat("-- ", status, " --"));
    const int prompt = static_cast<int>(sizeof kPrompt) - 1;
    const LineEditor::View input = editor_.Show(terminal_->width() - prompt - 1);
    lines.push_back(kPrompt + input.text);
    terminal_->SetBottom(std::move(lines), prompt + input.cursor);
  }

  void Input() {
    char buffer[4096];
    const ssize_t count = read(STDIN_FILENO, buffer, sizeof buffer);
    if (count <= 0) return Leave();
    const std::string_view bytes(buffer, static_cast<size_t>(count));
    if (!terminal_) return PlainInput(bytes);
    for (const LineEditor::Event& event : editor_.Feed(bytes)) {
      switch (event.key) {
        case LineEditor::Key::kEdited:
          Typing(!editor_.text().empty());
          break;
        case LineEditor::Key::kLine:
          typing_ = false;
          Send(event.line);
          break;
        case LineEditor::Key::kEnd:
          Leave();
          break;
        case LineEditor::Key::kInterrupt:
          return loop_->Stop();
        case LineEditor::Key::kMoved:
        case LineEditor::Key::kRedraw:
          break;
      }
    }
    Refresh();
  }

  void PlainInput(std::string_view bytes) {
    partial_ += bytes;
    for (size_t end = partial_.find('\n'); end != std::string::npos; end = partial_.find('\n')) {
      Send(partial_.substr(0, end));
      partial_.erase(0, end + 1);
    }
  }

  void Send(const std::string& text) {
    if (text.empty() || leaving_) return;
    if (!IsText(text)) return Failed("", text, Error(Reason::TEXT_INVALID));
    chat::v1::Content content;
    content.mutable_text()->set_body(text);
    // The answer settles the line as an entry, which comes from the session in its place.
    auto request_id = std::make_shared<std::string>();
    *request_id = session_->Send(
        id_, content, [=, this](const absl::StatusOr<chat::v1::SendMessageResponse>& answer) {
          if (answer.ok()) return;
          loop_->Post([=, this, status = answer.status()] { Failed(*request_id, text, status); });
        });
    view_.Add(*request_id, text);
    Refresh();
  }

  void Failed(const std::string& request_id, const std::string& text, const absl::Status& status) {
    view_.Drop(request_id);
    const auto reason = ReasonOf(status);
    Note(absl::StrCat("NOT SENT: ", Escape(text), " (", Escape(Wording(status)),
                      reason ? absl::StrCat(" [", std::string(ReasonName(*reason)), "]") : "",
                      ")"));
    // A person has seen it; a script has only the exit code.
    if (!terminal_ && result_.ok()) result_ = status;
    Refresh();
    if (leaving_ && view_.pending().empty()) loop_->Stop();
  }

  void Typing(bool typing) {
    const auto now = steady_clock::now();
    if (typing && (!typing_ || now - typing_said_ >= kTypingEvery)) {
      session_->SetTyping(id_, true);
      typing_said_ = now;
    } else if (!typing && typing_) {
      session_->SetTyping(id_, false);
    }
    typing_ = typing;
  }

  void Leave() {
    if (!terminal_ && !partial_.empty()) Send(std::exchange(partial_, ""));
    if (leaving_ || view_.pending().empty()) return loop_->Stop();
    leaving_ = true;
    if (!terminal_) loop_->OnInput(-1, nullptr);
    timers_->After(kLeaveWithin, [this] { loop_->Post([this] { loop_->Stop(); }); });
  }

  Context* const context_;
  EventLoop* const loop_;
  const int64_t id_;
  const int history_;
  int64_t own_ = 0;
  client::Session* session_ = nullptr;
  client::Timers* timers_ = nullptr;
  std::optional<Terminal> terminal_;
  LineEditor editor_;
  People people_;
  Conversations conversations_;
  ChatView view_;
  std::string trouble_;
  std::string partial_;
  // Whether reading back and what comes live meet without a hole.
  bool complete_ = false;
  bool leaving_ = false;
  bool typing_ = false;
  steady_clock::time_point typing_said_;
  absl::Status result_;
};

absl::Status RunChat(Context& context, const Options& options) {
  IM_ASSIGN_OR_RETURN(const Account account, context.GetAccount());
  // First, since it decides about the signals of all threads after it.
  EventLoop loop;
  chat::v1::Conversation conversation;
  {
    People people(&context);
    IM_ASSIGN_OR_RETURN(conversation, OpenConversation(context, people, options.who));
  }
  IM_ASSIGN_OR_RETURN(const auto channel, context.OpenChannel());
  IM_ASSIGN_OR_RETURN(const auto tokens, context.OpenTokens());
  // Before the timers, whose work refers to it.
  Chat chat(&context, &loop, conversation, account, options.history);
  client::TimerThread timers;
  client::SessionOptions session_options;
  session_options.status = StatusOf(options.status);
  client::Session session(channel, tokens, &timers, &chat, session_options);
  chat.Begin(&session, &timers, Terminal::IsUsable() && !context.json());
  session.Start();
  loop.Run();
  // What is still on its way is told as it was when the chat was left.
  const absl::Status result = chat.End();
  session.Stop();
  return result;
}

}  // namespace

void AddChat(CLI::App& app, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(
      app, "chat", "Chat with somebody or in a group",
      "imctl chat bob\n"
      "imctl chat Operators --history 100\n"
      "printf 'one\\ntwo\\n' | imctl chat bob     # without a terminal: a message a line");
  command->add_option("WHO", options->who, "A user name, a group's title, or group:ID")->required();
  command->add_option("--history", options->history, "How many earlier entries to show (20)")
      ->check(CLI::Range(0, 200));
  AddStatusOption(command, &options->status);
  command->callback(
      [=] { *run = [options](Context& context) { return RunChat(context, *options); }; });
}

}  // namespace im::imctl
