#include "common/base/flush_scope.h"

#include <algorithm>
#include <utility>

namespace im {
namespace {

thread_local FlushScope* open_scope = nullptr;

}  // namespace

FlushScope::FlushScope() : outer_(open_scope) {
  if (outer_ == nullptr) open_scope = this;
}

FlushScope::~FlushScope() {
  if (outer_ != nullptr) return;
  open_scope = nullptr;
  for (const auto& what : deferred_) what->FlushNow();
}

bool FlushScope::Defer(std::shared_ptr<Flushable> what) {
  if (open_scope == nullptr) return false;
  auto& deferred = open_scope->deferred_;
  if (std::find(deferred.begin(), deferred.end(), what) == deferred.end()) {
    deferred.push_back(std::move(what));
  }
  return true;
}

}  // namespace im
