// Brings devices up to date: compares what a device says it has with what there is, and sends what
// differs, page by page, at the pace of the device's gateway.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "common/base/admission.h"
#include "common/base/mutex.h"
#include "common/base/workers.h"
#include "common/bus/link_server.h"
#include "common/pg/pool.h"
#include "im/chat/v1/sync.pb.h"
#include "services/chat/own_log.h"
#include "services/chat/pg_history_store.h"
#include "services/chat/pg_sync_store.h"
#include "services/chat/watermarks.h"

namespace im::chat {

struct ResumeOptions {
  // More entries missing in one conversation: only the newest are sent, and gaps for the others.
  int most_missing = 200;
  int newest = 50;
  // What a page holds at most. A page is sent as one piece, so this is also the memory of one.
  int page_conversations = 100;
  int64_t page_bytes = 256 << 10;
  // Conversations that all passes together may still have before them, about 60 bytes each; a pass
  // that would go beyond fails as OVERLOADED.
  size_t total_pending = 2'000'000;
};

// Thread-safe. None of the calls blocks: reading is done by `workers`.
class ResumePasses {
 public:
  // All must outlive it. `epoch`: that of the data now.
  ResumePasses(pg::Pool* pool, Workers* workers, OwnLog* own_log, Watermarks* watermarks,
               std::function<int64_t()> epoch, ResumeOptions options = {});
  // Gives passes up, and waits for pages that are being read. The links must be down.
  ~ResumePasses();

  // `have`: im.chat.v1.Have, serialised; the pass of one that does not parse fails with
  // MALFORMED_REQUEST. Replaces a pass of the session that is under way: nothing more of that one
  // is sent.
  void Start(const std::shared_ptr<bus::Link>& link, const bus::Session& session,
             const std::string& have);
  // The gateway has room for another page.
  void More(const std::shared_ptr<bus::Link>& link, const bus::Session& session);
  // The session is gone; all of the link are.
  void Cancel(const std::shared_ptr<bus::Link>& link, uint64_t session);
  void Cancel(const std::shared_ptr<bus::Link>& link);

  // Passes under way.
  size_t size() const;

 private:
  struct Pass;
  class Page;

  void Submit(const std::shared_ptr<Pass>& pass);
  // Of a pass that was refused.
  void Refuse(const std::shared_ptr<Pass>& pass);
  void Run(const std::shared_ptr<Pass>& pass);
  // Submit's part on a worker.
  void Work(const std::shared_ptr<Pass>& pass);
  absl::Status Compare(Pass* pass);
  absl::Status AddConversations(Pass* pass, Page* page);
  absl::Status AddOwnLog(Pass* pass, Page* page);
  void Finish(const std::shared_ptr<Pass>& pass, const absl::Status& status);
  // Forgets it, unless another has taken its place.
  void Remove(const std::shared_ptr<Pass>& pass);

  PgHistoryStore history_;
  PgSyncStore sync_;
  Workers* const workers_;
  OwnLog* const own_log_;
  Watermarks* const watermarks_;
  const std::function<int64_t()> epoch_;
  const ResumeOptions options_;

  // Of passes that begin. After a restart of a gateway all its devices resume at once, each in some
  // milliseconds; those that are refused come again by Resync, behind all others, so it is better
  // that they wait.
  Admission admission_{std::chrono::seconds(30)};

  mutable Mutex mu_;
  std::map<std::pair<const bus::Link*, uint64_t>, std::shared_ptr<Pass>> passes_ IM_GUARDED_BY(mu_);
  size_t pending_ IM_GUARDED_BY(mu_) = 0;
  // Pages submitted to the workers.
  CondVar idle_;
  int working_ IM_GUARDED_BY(mu_) = 0;
};

}  // namespace im::chat
