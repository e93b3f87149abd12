#include "services/chat/epoch.h"

#include "common/base/log.h"

namespace im::chat {
namespace {

constexpr char kRead[] = "SELECT chat.current_epoch()";
constexpr char kRenew[] =
    "UPDATE chat.epoch SET value = ('x' || substr(md5(gen_random_uuid()::text), 1, "
    "15))::bit(60)::bigint";

}  // namespace

void Epoch::Read(pg::Session& session) {
  const int64_t value = session.Exec(kRead).at(0).at(0).as<int64_t>();
  const int64_t previous = current_.exchange(value);
  if (previous == value) return;
  Log(previous == 0 ? LogLevel::kInfo : LogLevel::kWarning, "epoch",
      {{"value", value}, {"previous", previous}});
  changed_(value);
}

absl::Status Epoch::Renew(pg::Pool* pool) {
  return pool->Write([this](pg::Session& session) {
    session.Exec(kRenew);
    Read(session);
  });
}

}  // namespace im::chat
