#include "services/chat/resume.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/rpc/status.h"
#include "services/chat/have.h"

namespace im::chat {
namespace {

using internal::v1::ServiceItem;

// Entries that one query looks at. What does not fit the page is looked at again for the next one.
constexpr int64_t kMostEntriesAQuery = 2000;
// Pages of many devices at once must not fill the link, where they would make all else late: they
// wait while more than this of them waits there, and are given up when that takes too long.
constexpr size_t kRoom = 1 << 20;
constexpr std::chrono::seconds kPatience{1};
// Records of the own log that one query reads, of up to 2 KB each.
constexpr int kMostRecordsAQuery = 100;

prometheus::Counter& ResumesCounter(bool done) {
  static auto& family = CounterFamily("im_chat_resumes_total", "Resumes that ended.");
  static auto& of_done = family.Add({{"result", "done"}});
  static auto& of_failed = family.Add({{"result", "failed"}});
  return done ? of_done : of_failed;
}
prometheus::Counter& EventsCounter() {
  static auto& counter =
      CounterFamily("im_chat_resume_events_total", "Events sent by resumes.").Add({});
  return counter;
}
prometheus::Histogram& PageSeconds() {
  static auto& histogram =
      HistogramFamily("im_chat_resume_page_seconds", "Time to read a page of a resume.")
          .Add({}, LatencyBuckets());
  return histogram;
}

// Something to send, and how far that is done.
struct Todo {
  Difference difference;
  // Whether Event.conversation and the gaps were sent; then the visible end at that moment.
  bool announced = false;
  int64_t end = 0;
};

Missing MissingOf(const Todo& todo, const ConversationView& view, const ResumeOptions& options) {
  const int64_t have = todo.difference.have.seq;
  if (!todo.announced) {
    return FindMissing(have, view, todo.difference.listed ? options.most_missing : options.newest,
                       options.newest);
  }
  // The rest of what was announced; what has come since then came live, too.
  return {{}, Clip(VisibleRanges(view.stays, view.last_seq), have + 1, todo.end)};
}

}  // namespace

struct ResumePasses::Pass {
  std::shared_ptr<bus::Link> link;
  uint64_t session = 0;
  int64_t user = 0;
  bool only_listed = false;

  // Of whoever submits or runs a page; one at a time.
  bool begun = false;
  bool compared = false;
  std::vector<HaveConversation> have;
  std::vector<Todo> todos;
  size_t next = 0;
  int64_t own_log_position = 0;
  bool own_log_done = false;

  // Guarded by ResumePasses::mu_.
  bool running = true;
  bool more = false;
  size_t counted = 0;

  // Held while a page is sent: after a pass was cancelled nothing of it is.
  Mutex sending;
  bool cancelled IM_GUARDED_BY(sending) = false;

  std::pair<const bus::Link*, uint64_t> key() const { return {link.get(), session}; }
  void Cancel() {
    MutexLock lock(&sending);
    cancelled = true;
  }
  bool IsCancelled() {
    MutexLock lock(&sending);
    return cancelled;
  }
};

// What is sent at once.
class ResumePasses::Page {
 public:
  Page(uint64_t session, int64_t max_bytes) : session_(session), max_bytes_(max_bytes) {}

  void Add(const v1::Event& event) { Add(event.SerializeAsString()); }
  void Add(std::string event) {
    bytes_ += static_cast<int64_t>(event.size());
    auto* const delivery = items_.emplace_back().mutable_delivery();
    delivery->set_session(session_);
    delivery->set_event(std::move(event));
  }
  // A conversation, ahead of its entries.
  void Announce(const ConversationView& view, const Missing& missing, Todo* todo);
  bool full() const { return bytes_ >= max_bytes_; }
  std::vector<ServiceItem>* items() { return &items_; }

 private:
  const uint64_t session_;
  const int64_t max_bytes_;
  int64_t bytes_ = 0;
  std::vector<ServiceItem> items_;
};

void ResumePasses::Page::Announce(const ConversationView& view, const Missing& missing,
                                  Todo* todo) {
  if (todo->difference.entries) {
    v1::Event event;
    *event.mutable_conversation() = ToProto(view);
    Add(event);
  }
  if (todo->difference.peer_watermark && view.peer_watermark.has_value()) {
    v1::Event event;
    event.mutable_watermark()->set_conversation_id(view.id);
    *event.mutable_watermark()->mutable_watermark() = ToProto(*view.peer_watermark);
    Add(event);
  }
  for (const SeqRange& left_out : missing.gaps) {
    v1::Event event;
    event.mutable_gap()->set_conversation_id(view.id);
    event.mutable_gap()->set_from_seq(left_out.from);
    event.mutable_gap()->set_to_seq(left_out.to);
    Add(event);
  }
  todo->announced = true;
  todo->end = view.last_seq;
}

ResumePasses::ResumePasses(pg::Pool* pool, Workers* workers, OwnLog* own_log,
                           Watermarks* watermarks, std::function<int64_t()> epoch,
                           ResumeOptions options)
    : history_(pool),
      sync_(pool),
      workers_(workers),
      own_log_(own_log),
      watermarks_(watermarks),
      epoch_(std::move(epoch)),
      options_(options) {}

ResumePasses::~ResumePasses() {
  MutexLock lock(&mu_);
  for (const auto& [key, pass] : passes_) pass->Cancel();
  while (working_ > 0) idle_.Wait(&mu_);
}

void ResumePasses::Start(const std::shared_ptr<bus::Link>& link, const bus::Session& session,
                         const std::string& bytes) {
  v1::Have have;
  const bool parsed = have.ParseFromString(bytes);
  auto pass = std::make_shared<Pass>();
  pass->link = link;
  pass->session = session.number;
  pass->user = session.identity.user_id;
  pass->only_listed = have.only_listed();
  const int64_t epoch = epoch_();
  if (have.epoch() == epoch) {
    pass->have = ReadHave(have);
    pass->own_log_position = std::max<int64_t>(have.own_log_position(), 0);
  }
  pass->counted = pass->have.size() + 1;
  std::shared_ptr<Pass> replaced;
  bool overloaded = false;
  {
    MutexLock lock(&mu_);
    std::shared_ptr<Pass>& place = passes_[pass->key()];
    replaced = std::move(place);
    place = pass;
    if (replaced != nullptr) pending_ -= replaced->counted;
    pending_ += pass->counted;
    overloaded = pending_ > options_.total_pending;
  }
  if (replaced != nullptr) replaced->Cancel();
  if (!parsed) return Finish(pass, Error(Reason::MALFORMED_REQUEST, "not a Have"));
  if (epoch == 0) return Finish(pass, Error(Reason::DATABASE_UNAVAILABLE));
  if (overloaded) return Finish(pass, Error(Reason::OVERLOADED));
  Submit(pass);
}

void ResumePasses::More(const std::shared_ptr<bus::Link>& link, const bus::Session& session) {
  std::shared_ptr<Pass> pass;
  {
    MutexLock lock(&mu_);
    const auto found = passes_.find({link.get(), session.number});
    if (found == passes_.end()) return;
    pass = found->second;
    if (pass->running) {
      pass->more = true;
      return;
    }
    pass->running = true;
  }
  Submit(pass);
}

void ResumePasses::Cancel(const std::shared_ptr<bus::Link>& link, uint64_t session) {
  std::shared_ptr<Pass> pass;
  {
    MutexLock lock(&mu_);
    const auto found = passes_.find({link.get(), session});
    if (found == passes_.end()) return;
    pass = found->second;
    pending_ -= pass->counted;
    passes_.erase(found);
  }
  pass->Cancel();
}

void ResumePasses::Cancel(const std::shared_ptr<bus::Link>& link) {
  std::vector<std::shared_ptr<Pass>> passes;
  {
    MutexLock lock(&mu_);
    const auto begin = passes_.lower_bound({link.get(), 0});
    const auto end = passes_.upper_bound({link.get(), UINT64_MAX});
    for (auto pass = begin; pass != end; ++pass) {
      pending_ -= pass->second->counted;
      passes.push_back(pass->second);
    }
    passes_.erase(begin, end);
  }
  for (const std::shared_ptr<Pass>& pass : passes) pass->Cancel();
}

size_t ResumePasses::size() const {
  MutexLock lock(&mu_);
  return passes_.size();
}

void ResumePasses::Refuse(const std::shared_ptr<Pass>& pass) {
  Finish(pass, Error(Reason::OVERLOADED, {}, {.retry_after = std::chrono::seconds(1)}));
}

void ResumePasses::Submit(const std::shared_ptr<Pass>& pass) {
  // A pass that has begun is brought to its end: what was sent of it would be sent again.
  const bool begins = !std::exchange(pass->begun, true);
  if (begins && !admission_.Enter(pass->have.size() * sizeof(HaveConversation))) {
    return Refuse(pass);
  }
  {
    MutexLock lock(&mu_);
    ++working_;
  }
  const bool queued = workers_->TrySubmit(
      [this, pass, begins, bytes = pass->have.size() * sizeof(HaveConversation)] {
        if (begins) pass->IsCancelled() ? admission_.GiveUp(bytes) : admission_.Leave(bytes);
        Work(pass);
      });
  if (queued) return;
  if (begins) admission_.GiveUp(pass->have.size() * sizeof(HaveConversation));
  Refuse(pass);
  MutexLock lock(&mu_);
  --working_;
  idle_.NotifyAll();
}

void ResumePasses::Work(const std::shared_ptr<Pass>& pass) {
  Run(pass);
  MutexLock lock(&mu_);
  --working_;
  idle_.NotifyAll();
}

void ResumePasses::Run(const std::shared_ptr<Pass>& pass) {
  if (pass->IsCancelled()) return;
  if (!pass->link->WaitForRoom(bus::Link::Part::kDeliveries, kRoom, kPatience)) {
    return Finish(pass, Error(Reason::OVERLOADED, {}, {.retry_after = std::chrono::seconds(1)}));
  }
  const auto started = std::chrono::steady_clock::now();
  if (!pass->compared) {
    const absl::Status status = Compare(pass.get());
    if (!status.ok()) return Finish(pass, status);
  }
  Page page(pass->session, options_.page_bytes);
  absl::Status status = AddConversations(pass.get(), &page);
  if (status.ok()) status = AddOwnLog(pass.get(), &page);
  if (!status.ok()) return Finish(pass, status);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started;
  PageSeconds().Observe(elapsed.count());
  EventsCounter().Increment(static_cast<double>(page.items()->size()));
  const bool done = pass->own_log_done;
  {
    MutexLock lock(&pass->sending);
    if (pass->cancelled) return;
    for (ServiceItem& item : *page.items()) pass->link->Send(std::move(item));
    if (!done) {
      ServiceItem end;
      end.mutable_resume_page_end()->set_session(pass->session);
      pass->link->Send(std::move(end));
    }
  }
  if (done) return Finish(pass, absl::OkStatus());
  {
    MutexLock lock(&mu_);
    pass->running = pass->more;
    pass->more = false;
    if (!pass->running) return;
  }
  Submit(pass);
}

absl::Status ResumePasses::Compare(Pass* pass) {
  IM_ASSIGN_OR_RETURN(const std::vector<Difference> differences,
                      sync_.Compare(pass->user, pass->have, pass->only_listed));
  for (const Difference& difference : differences) {
    if (difference.undelivered) {
      watermarks_->Acknowledge(pass->user, difference.have.id, difference.have.seq);
    }
    if (difference.entries || difference.peer_watermark) {
      Todo& todo = pass->todos.emplace_back();
      todo.difference = difference;
    }
  }
  pass->have = {};
  pass->compared = true;
  MutexLock lock(&mu_);
  const auto found = passes_.find(pass->key());
  // Cancelled meanwhile: then it is not counted any more.
  if (found == passes_.end() || found->second.get() != pass) return absl::OkStatus();
  pending_ -= pass->counted;
  pass->counted = pass->todos.size() + 1;
  pending_ += pass->counted;
  return pending_ > options_.total_pending ? Error(Reason::OVERLOADED) : absl::OkStatus();
}

absl::Status ResumePasses::AddConversations(Pass* pass, Page* page) {
  const size_t until =
      std::min(pass->todos.size(), pass->next + static_cast<size_t>(options_.page_conversations));
  if (pass->next == until) return absl::OkStatus();
  std::vector<int64_t> ids;
  for (size_t i = pass->next; i < until; ++i) ids.push_back(pass->todos[i].difference.have.id);
  IM_ASSIGN_OR_RETURN(const std::vector<ConversationView> found,
                      history_.FindConversations(pass->user, ids));
  std::unordered_map<int64_t, const ConversationView*> views;
  for (const ConversationView& view : found) views[view.id] = &view;

  std::vector<Missing> missing;
  std::vector<EntryRange> ranges;
  int64_t planned = 0;
  for (const int64_t id : ids) {
    if (planned >= kMostEntriesAQuery) break;
    const Todo& todo = pass->todos[pass->next + missing.size()];
    Missing& one = missing.emplace_back();
    if (views.count(id) == 0 || !todo.difference.entries) continue;
    one = MissingOf(todo, *views[id], options_);
    for (const SeqRange& seqs : one.entries) ranges.push_back({id, seqs});
    planned += CountEntries(one.entries);
  }
  IM_ASSIGN_OR_RETURN(const std::vector<Entry> entries,
                      history_.ReadEntries(ranges, options_.page_bytes));

  auto entry = entries.begin();
  for (const Missing& one : missing) {
    Todo* const todo = &pass->todos[pass->next];
    const int64_t id = todo->difference.have.id;
    if (views.count(id) > 0) {
      if (!todo->announced) page->Announce(*views[id], one, todo);
      for (; entry != entries.end() && entry->conversation_id == id && !page->full(); ++entry) {
        page->Add(SerializeEntryEvent(*entry));
        todo->difference.have.seq = entry->seq;
      }
      // Where the page ends in the middle, the next one goes on from there.
      if (page->full() && !one.entries.empty() &&
          todo->difference.have.seq < one.entries.back().to) {
        return absl::OkStatus();
      }
    }
    ++pass->next;
    if (page->full()) break;
  }
  return absl::OkStatus();
}

absl::Status ResumePasses::AddOwnLog(Pass* pass, Page* page) {
  while (pass->next == pass->todos.size() && !pass->own_log_done && !page->full()) {
    IM_ASSIGN_OR_RETURN(const OwnLogPage records,
                        own_log_->Read(pass->user, pass->own_log_position, kMostRecordsAQuery));
    if (!records.records.empty()) {
      v1::Event event;
      *event.mutable_own_log() = ToChanged(pass->own_log_position, records);
      page->Add(event);
    }
    pass->own_log_position = records.position;
    pass->own_log_done = !records.more;
  }
  return absl::OkStatus();
}

void ResumePasses::Finish(const std::shared_ptr<Pass>& pass, const absl::Status& status) {
  ServiceItem item;
  auto* const end = item.mutable_resume_end();
  end->set_session(pass->session);
  end->set_own_log_position(pass->own_log_position);
  ResumesCounter(status.ok()).Increment();
  if (!status.ok()) {
    *end->mutable_failure() = rpc::ToFailure(status);
    Log(LogLevel::kWarning, "resume_failed", {{"user", pass->user}, {"status", Describe(status)}});
  }
  {
    MutexLock lock(&mu_);
    const auto found = passes_.find(pass->key());
    if (found != passes_.end() && found->second == pass) {
      pending_ -= pass->counted;
      passes_.erase(found);
    }
  }
  MutexLock lock(&pass->sending);
  if (!pass->cancelled) pass->link->Send(std::move(item));
}

}  // namespace im::chat
