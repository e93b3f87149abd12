// im-chat: contacts, conversations and messages.
#include <iostream>

#include "common/base/config.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/process.h"
#include "common/bus/lane.h"
#include "common/bus/link_server.h"
#include "common/pg/pool.h"
#include "common/rpc/channel.h"
#include "common/rpc/router.h"
#include "common/rpc/server.h"
#include "common/token/verifier.h"
#include "common/token/watcher.h"
#include "services/chat/catch_up.h"
#include "services/chat/contact_service.h"
#include "services/chat/conversation_service.h"
#include "services/chat/directory.h"
#include "services/chat/epoch.h"
#include "services/chat/history_service.h"
#include "services/chat/link_handler.h"
#include "services/chat/message_service.h"
#include "services/chat/own_log.h"
#include "services/chat/pg_contact_store.h"
#include "services/chat/pg_history_store.h"
#include "services/chat/pg_message_store.h"
#include "services/chat/publisher.h"
#include "services/chat/relation_service.h"
#include "services/chat/resume.h"
#include "services/chat/watermarks.h"
#include "services/chat/writer.h"

namespace im::chat {
namespace {

struct Options {
  ServerOptions server;
  LoggingOptions logging;
  MetricsOptions metrics;
  std::string database_url;
  int database_connections = 8;
  int writers = 0;
  std::string auth;
  rpc::ChannelTls upstream_tls;
};

// Calls that wait for a thread or a connection; more are refused as OVERLOADED.
constexpr size_t kQueuedCalls = 10000;
constexpr size_t kQueuedResumes = 100000;

int Run(const Options& options) {
  token::Verifier verifier;
  const std::vector<std::string> auth = rpc::ParseAddresses(options.auth);
  token::Watcher tokens({.addresses = auth, .tls = options.upstream_tls}, &verifier);

  const int writer_count = WriterCount(options.writers);
  bus::LinkServer* links_of_epoch = nullptr;
  Epoch epoch([&links_of_epoch, writer_count](int64_t value) {
    internal::v1::ServiceHello hello;
    hello.set_epoch(value);
    hello.set_lanes(writer_count);
    links_of_epoch->SetHello(hello);
  });
  ChatLinkHandler link_handler;
  bus::LinkServer links({.authenticate = verifier.AsAuthenticate(),
                         .ready = [&] { return epoch.current() != 0 && verifier.HasKeys(); },
                         .handler = &link_handler});
  links_of_epoch = &links;

  pg::Pool pool({.url = options.database_url,
                 .connections = options.database_connections,
                 .on_connect = [&epoch](pg::Session& session) { epoch.Read(session); }});
  Publisher publisher(&links);
  PgMessageStore message_store(&pool);
  PgHistoryStore history(&pool);
  PgContactStore contact_store(&pool);
  RpcDirectory directory(auth, options.upstream_tls);
  OwnLog own_log(&pool, &publisher);
  Watermarks watermarks(&pool, &publisher, &own_log);
  RelationService relations(&contact_store);
  Contacts contacts(&contact_store, &directory, &own_log, &relations);
  Writers writers(writer_count, {.database_url = options.database_url}, &publisher, &epoch);

  Workers calls(options.database_connections * 2, kQueuedCalls);
  Workers resume_workers(2, kQueuedResumes);
  Workers catch_up_workers(1, kQueuedCalls);
  ResumePasses resumes(&pool, &resume_workers, &own_log, &watermarks,
                       [&epoch] { return epoch.current(); });
  CatchUps catch_ups(&pool, &catch_up_workers, &own_log);
  MessageService messages(&writers);
  ConversationService conversations(&message_store, &writers, &publisher, &directory, &contacts,
                                    &history);
  link_handler.Use({.messages = &messages,
                    .watermarks = &watermarks,
                    .resumes = &resumes,
                    .catch_ups = &catch_ups,
                    .workers = &calls});

  rpc::Router router(verifier.AsAuthenticate(), &calls);
  messages.Register(&router);
  conversations.Register(&router);
  AddContactService(&router, &contacts);
  RegisterHistory(&router, &history, &watermarks);
  router.Serve(
      {"im.chat.v1.ContactService", "im.chat.v1.ConversationService", "im.chat.v1.MessageService"});

  const auto exposer = ServeMetrics(options.metrics.listen);
  if (!exposer.ok()) {
    std::cerr << "im-chat: " << exposer.status().message() << "\n";
    return 1;
  }
  auto server = rpc::Server::Start({.listen = {rpc::ToListen(options.server)},
                                    .generic = &router,
                                    .generic_services = router.services(),
                                    .services = {&links, &relations},
                                    .healthy = [&] { return pool.Ping() && verifier.HasKeys(); }});
  if (!server.ok()) {
    std::cerr << "im-chat: " << server.status().message() << "\n";
    return 1;
  }
  Log(LogLevel::kInfo, "listening", {{"address", (*server)->addresses().front()}});
  Ticker purge(std::chrono::seconds(10), [&contacts] {
    const absl::Status status = contacts.PurgeAnswers();
    if (!status.ok()) Log(LogLevel::kWarning, "purge_failed", {{"what", Describe(status)}});
  });

  WaitForShutdownSignal();
  (*server)->Drain();
  links.Shutdown();
  relations.Shutdown();
  (*server)->Shutdown(std::chrono::seconds(2));
  watermarks.Shutdown();
  return 0;
}

}  // namespace
}  // namespace im::chat

int main(int argc, char** argv) {
  im::InitProcess();
  im::Config config("im-chat", "Contacts, conversations and messages.");
  im::chat::Options options;
  im::AddServerOptions(&config, &options.server);
  config.Add("database.url", &options.database_url, "PostgreSQL connection URL.")->required();
  config
      .Add("database.connections", &options.database_connections,
           "Connections for everything but the writers.")
      ->check(CLI::Range(2, 200));
  config
      .Add("writers.count", &options.writers,
           "Threads that store messages, each with a connection of its own; 0: one for two cores.")
      ->check(CLI::Range(0, im::bus::kMaxLanes));
  config.Add("upstreams.auth", &options.auth, "Addresses of im-auth, separated by commas.")
      ->required();
  im::rpc::AddUpstreamTlsOptions(&config, &options.upstream_tls);
  im::AddLoggingOptions(&config, &options.logging);
  im::AddMetricsOptions(&config, &options.metrics);
  if (auto exit_code = config.Parse(argc, argv)) return *exit_code;
  im::InitLog(options.logging, "chat");
  return im::chat::Run(options);
}
