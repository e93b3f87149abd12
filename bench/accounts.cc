#include "bench/accounts.h"

#include <cstdio>

#include "client/channel.h"
#include "common/base/random.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "im/chat/v1/contacts.grpc.pb.h"

namespace im::bench {
namespace {

absl::StatusOr<Account> Register(client::Channel* channel, const NewAccount& wanted) {
  auth::v1::RegisterRequest request;
  request.set_user_name(wanted.user_name);
  request.set_display_name(wanted.display_name);
  request.set_password(RandomHex(16));
  request.mutable_device()->set_name("bench");
  request.mutable_device()->set_platform("im-bench");
  auto registered = channel->Call(&auth::v1::AccountService::Stub::Register, request);
  if (!registered.ok()) return registered.status();
  chat::v1::UpdateSettingsRequest settings;
  settings.set_request_id(RandomBytes(16));
  settings.set_reachability(chat::v1::REACHABILITY_ANYONE);
  const auto updated = channel->Call(&chat::v1::ContactService::Stub::UpdateSettings, settings,
                                     registered->tokens().access_token());
  if (!updated.ok()) return updated.status();
  return Account{registered->profile().user_id(), wanted.user_name, registered->tokens()};
}

}  // namespace

absl::StatusOr<std::vector<Account>> MakeAccounts(const Target& target,
                                                  const std::vector<NewAccount>& accounts) {
  if (!target.database_url.empty()) return SeedAccounts(target.database_url, accounts);
  std::fprintf(stderr,
               "im-bench: no database to seed %zu accounts in (--database): registering them, "
               "about 0.1 s each\n",
               accounts.size());
  const auto channel = client::Channel::Open({.server = target.address});
  if (!channel.ok()) return channel.status();
  std::vector<Account> made;
  for (const NewAccount& account : accounts) {
    auto one = Register(channel->get(), account);
    if (!one.ok()) return one.status();
    made.push_back(*std::move(one));
  }
  return made;
}

}  // namespace im::bench
