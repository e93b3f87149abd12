#include "gateway/hub.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/base/metrics.h"
#include "gateway/session.h"

namespace im::gateway {
namespace {

using google::protobuf::util::TimeUtil;
using std::chrono::steady_clock;
using std::chrono::system_clock;

// A minute at 2,000 entries a second, which is as far back as a catch-up goes; 10 MB.
constexpr size_t kRememberedEntries = 120'000;
// A catch-up does not wait longer than this for sessions to be registered.
constexpr std::chrono::seconds kAnnounceLimit{10};
constexpr std::chrono::seconds kCatchUpRetry{5};

prometheus::Family<prometheus::Counter>& PublicationsFamily() {
  static auto& family =
      CounterFamily("im_gateway_publications_total", "Events that came to be passed on.");
  return family;
}

}  // namespace

Hub::Hub(const Upstreams& upstreams, const rpc::ChannelTls& tls, const std::string& gateway_id,
         const LinkOptions& options, SessionTable* table)
    : options_(options), table_(table), passed_on_(kRememberedEntries) {
  states_.resize(upstreams.chat.size() + upstreams.presence.size());
  for (LinkState& state : states_) state.last_heard = system_clock::now();
  links_ = std::make_unique<Links>(upstreams, tls, gateway_id, &options_, this);
}

Hub::~Hub() = default;

void Hub::LearnEpoch(const pb::ServiceHello& hello) {
  if (hello.epoch() == 0) return;
  const int64_t before = epoch_.exchange(hello.epoch());
  if (before == 0 || before == hello.epoch()) return;
  Log(LogLevel::kWarning, "epoch_changed", {{"from", before}, {"to", hello.epoch()}});
  for (const auto& session : table_->All()) session->EndForEpoch();
}

void Hub::OnLinkUp(Link* link, uint64_t generation, const pb::ServiceHello& hello) {
  if (link->service() == Link::Service::kChat) LearnEpoch(hello);
  const std::vector<std::shared_ptr<Session>> sessions = table_->All();
  {
    MutexLock lock(&mu_);
    LinkState& state = states_[link->index()];
    if (generation <= state.generation) return;
    state.generation = generation;
    state.up = true;
    state.announcing = true;
    state.awaited_until = steady_clock::now() + kAnnounceLimit;
    state.awaited.clear();
    for (const auto& session : sessions) state.awaited.insert(session->number());
  }
  std::vector<uint64_t> not_opened;
  for (const auto& session : sessions) {
    if (!session->OnLinkUp(link, generation)) not_opened.push_back(session->number());
  }
  pb::GatewayItem item;
  item.mutable_announced();
  link->Enqueue(generation, std::move(item));
  link->Flush();
  MutexLock lock(&mu_);
  LinkState& state = states_[link->index()];
  if (state.generation != generation || !state.up) return;
  for (const uint64_t number : not_opened) state.awaited.erase(number);
  // With nobody here, nothing was missed: whoever comes reads the log first.
  if (sessions.empty()) {
    state.announcing = false;
  } else if (state.awaited.empty()) {
    Announced(&state, link->index());
  }
}

void Hub::OnLinkDown(Link* link, uint64_t generation, system_clock::time_point last_heard) {
  {
    MutexLock lock(&mu_);
    LinkState& state = states_[link->index()];
    if (generation < state.generation) return;
    state.generation = generation;
    state.up = false;
    state.announcing = false;
    state.awaited.clear();
    state.last_heard = last_heard;
    // What this one stored and did not publish, another one can.
    if (link->service() == Link::Service::kChat && table_->size() > 0) {
      Link* const other = links_->Pick(Link::Service::kChat, 0, [&](const Link& l) {
        return l.index() != link->index() && l.generation() != 0;
      });
      if (other != nullptr) Schedule(other->index(), last_heard);
    }
  }
  for (const auto& session : table_->All()) session->OnLinkDown(*link, generation);
}

void Hub::Schedule(int link, Wall since) {
  const auto now = steady_clock::now();
  const Wall from = since - options_.catch_up_margin;
  catch_ups_.push_back({link, from, now});
  // For commits that were still under way.
  catch_ups_.push_back({link, from, now + options_.catch_up_margin});
}

void Hub::Announced(LinkState* state, int link) {
  state->announcing = false;
  if (links_->at(link)->service() == Link::Service::kChat) Schedule(link, state->last_heard);
}

void Hub::Answered(int link, uint64_t session) {
  MutexLock lock(&mu_);
  LinkState& state = states_[link];
  if (!state.announcing) return;
  state.awaited.erase(session);
  if (state.awaited.empty()) Announced(&state, link);
}

void Hub::Forget(uint64_t session) {
  for (size_t i = 0; i < links_->all().size(); ++i) Answered(static_cast<int>(i), session);
}

void Hub::OnLinkItem(Link* link, uint64_t generation, const pb::ServiceItem& item) {
  const auto find = [this](uint64_t number) { return table_->Find(number); };
  switch (item.item_case()) {
    case pb::ServiceItem::kHello:
      if (link->service() == Link::Service::kChat) LearnEpoch(item.hello());
      return;
    case pb::ServiceItem::kOpened:
      if (const auto session = find(item.opened().session())) {
        session->OnOpened(*link, generation);
      }
      return Answered(link->index(), item.opened().session());
    case pb::ServiceItem::kRefused:
      if (const auto session = find(item.refused().session())) {
        session->OnRefused(*link, generation, item.refused().failure());
      }
      return Answered(link->index(), item.refused().session());
    case pb::ServiceItem::kAnswer:
      if (const auto session = find(item.answer().session())) {
        session->OnAnswer(link, generation, item.answer());
      }
      return;
    case pb::ServiceItem::kPublication:
      return Publish(*link, item.publication());
    case pb::ServiceItem::kDelivery:
      if (const auto session = find(item.delivery().session())) {
        session->OnDelivery(*link, generation, item.delivery().event());
      }
      return;
    case pb::ServiceItem::kResumePageEnd:
      if (const auto session = find(item.resume_page_end().session())) {
        session->OnResumePageEnd(*link, generation);
      }
      return;
    case pb::ServiceItem::kResumeEnd:
      if (const auto session = find(item.resume_end().session())) {
        session->OnResumeEnd(*link, generation, item.resume_end());
      }
      return;
    case pb::ServiceItem::kCatchUpDone: {
      if (item.catch_up_done().complete()) return;
      MutexLock lock(&mu_);
      LinkState& state = states_[link->index()];
      if (state.generation != generation) return;
      catch_ups_.push_back({link->index(), state.asked_since, steady_clock::now() + kCatchUpRetry});
      return;
    }
    case pb::ServiceItem::kStatusSet:
      if (const auto session = find(item.status_set().session())) {
        session->OnStatusSet(*link, generation, item.status_set().status());
      }
      return;
    case pb::ServiceItem::kHeartbeat:
    case pb::ServiceItem::ITEM_NOT_SET:
      return;
  }
}

void Hub::Publish(const Link& link, const pb::Publication& publication) {
  static auto& passed = PublicationsFamily().Add({{"result", "passed_on"}});
  static auto& known = PublicationsFamily().Add({{"result", "known"}});
  if (passed_on_.Remember(publication)) return known.Increment();
  passed.Increment();
  std::vector<std::shared_ptr<Session>> sessions;
  table_->FindUsers(publication.user_ids(), &sessions);
  if (sessions.empty()) return;
  const bool chat = link.service() == Link::Service::kChat;
  const Frame frame = EventFrame(chat ? kChatEvent : kPresenceEvent, publication.event());
  for (const auto& session : sessions) {
    if (session->number() == publication.except_session()) continue;
    session->Publish(frame, publication.replace_key(), publication.fleeting());
  }
}

void Hub::Tick(steady_clock::time_point now) {
  for (const auto& link : links_->all()) link->Tick(now);
  struct Ask {
    Link* link;
    uint64_t generation;
    Wall since;
  };
  std::vector<Ask> asks;
  {
    MutexLock lock(&mu_);
    for (size_t i = 0; i < states_.size(); ++i) {
      if (states_[i].announcing && now >= states_[i].awaited_until) {
        Announced(&states_[i], static_cast<int>(i));
      }
    }
    std::vector<CatchUp> later;
    for (const CatchUp& catch_up : catch_ups_) {
      if (catch_up.due > now) {
        later.push_back(catch_up);
        continue;
      }
      // An instance that has gone since then: its own return brings a catch-up of its own, and
      // until then any other will do.
      Link* link = links_->at(catch_up.link);
      if (link->generation() == 0) {
        link = links_->Pick(Link::Service::kChat, 0,
                            [](const Link& other) { return other.generation() != 0; });
      }
      if (link == nullptr) continue;
      states_[link->index()].asked_since = catch_up.since;
      asks.push_back({link, link->generation(), catch_up.since});
    }
    catch_ups_ = std::move(later);
  }
  for (const Ask& ask : asks) {
    pb::GatewayItem item;
    *item.mutable_catch_up()->mutable_since() = TimeUtil::MillisecondsToTimestamp(
        std::chrono::duration_cast<milliseconds>(ask.since.time_since_epoch()).count());
    Log(LogLevel::kInfo, "catch_up", {{"instance", ask.link->address()}});
    ask.link->Enqueue(ask.generation, std::move(item));
    ask.link->Flush();
  }
}

}  // namespace im::gateway
