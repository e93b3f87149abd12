// The other end of a link, for tests of what devices hear live.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "im/chat/v1/sync.pb.h"
#include "im/internal/v1/link.grpc.pb.h"

namespace im::chat {

// A gateway that holds devices of some users, and what it is told for them.
class ListeningGateway {
 public:
  explicit ListeningGateway(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(internal::v1::LinkService::NewStub(channel)) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    stream_ = stub_->Attach(&context_);
    internal::v1::AttachRequest request;
    request.add_items()->mutable_hello()->set_gateway_id("test");
    stream_->Write(request);
  }
  ~ListeningGateway() {
    context_.TryCancel();
    const grpc::Status ignored = stream_->Finish();
  }

  void Open(uint64_t session, const std::string& token) {
    internal::v1::AttachRequest request;
    auto* open = request.add_items()->mutable_open();
    open->set_session(session);
    open->set_access_token(token);
    stream_->Write(request);
    while (!Next([](const auto& item) { return item.has_opened(); }).has_opened()) {
    }
  }

  // The next change of an own log: "2 after 0: contact 1 received(hi) @1".
  std::string Hears() {
    const internal::v1::ServiceItem item =
        Next([](const auto& one) { return one.has_publication(); });
    v1::Event event;
    if (!item.has_publication() || !event.ParseFromString(item.publication().event())) return "";
    const v1::OwnLogChanged& changed = event.own_log();
    std::string text = absl::StrCat(absl::StrJoin(item.publication().user_ids(), "+"), " after ",
                                    changed.after_position(), ":");
    for (const v1::OwnRecord& record : changed.records()) {
      if (record.has_settings()) {
        absl::StrAppend(&text, " ", v1::Reachability_Name(record.settings().reachability()));
      }
      if (record.has_contact()) {
        const v1::Contact& contact = record.contact();
        absl::StrAppend(&text, " ", contact.user_id(), " ", v1::ContactState_Name(contact.state()),
                        contact.blocked() ? " blocked" : "");
        if (!contact.greeting().empty()) absl::StrAppend(&text, "(", contact.greeting(), ")");
      }
      absl::StrAppend(&text, " @", record.position());
    }
    return absl::StrCat(text, " up to ", changed.position());
  }

 private:
  template <typename Predicate>
  internal::v1::ServiceItem Next(const Predicate& wanted) {
    while (true) {
      while (!items_.empty()) {
        internal::v1::ServiceItem item = std::move(items_.front());
        items_.pop_front();
        if (wanted(item)) return item;
      }
      internal::v1::AttachResponse response;
      if (!stream_->Read(&response)) {
        ADD_FAILURE() << "the link ended";
        return {};
      }
      items_.insert(items_.end(), response.items().begin(), response.items().end());
    }
  }

  std::unique_ptr<internal::v1::LinkService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<internal::v1::AttachRequest, internal::v1::AttachResponse>>
      stream_;
  std::deque<internal::v1::ServiceItem> items_;
};

}  // namespace im::chat
