// RpcDirectory against an im-auth of the test's own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "common/base/error.h"
#include "common/base/random.h"
#include "common/rpc/status.h"
#include "services/chat/directory.h"

namespace im::chat {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;

// Accounts with even ids exist.
class EvenAccounts : public internal::v1::DirectoryService::Service {
 public:
  grpc::Status FindUsers(grpc::ServerContext*, const internal::v1::FindUsersRequest* request,
                         internal::v1::FindUsersResponse* response) override {
    MutexLock lock(&mu_);
    asked_.push_back(request->user_ids_size());
    for (const int64_t id : request->user_ids()) {
      if (id % 2 == 0) response->add_user_ids(id);
    }
    return grpc::Status::OK;
  }

  // Everybody matches "all"; in falling order.
  grpc::Status MatchUsers(grpc::ServerContext*, const internal::v1::MatchUsersRequest* request,
                          internal::v1::MatchUsersResponse* response) override {
    if (request->query() != "all") return grpc::Status::OK;
    for (int i = request->user_ids_size(); i > 0; --i) {
      response->add_user_ids(request->user_ids(i - 1));
    }
    return grpc::Status::OK;
  }

  // How many ids each call asked for, since the last time.
  std::vector<int> Asked() {
    MutexLock lock(&mu_);
    return std::exchange(asked_, {});
  }

 private:
  Mutex mu_;
  std::vector<int> asked_ IM_GUARDED_BY(mu_);
};

class ContactsDirectoryTest : public ::testing::Test {
 protected:
  ContactsDirectoryTest() {
    folder_ = std::filesystem::temp_directory_path() / ("im-directory-" + RandomHex(6));
    std::filesystem::create_directory(folder_);
    address_ = "unix:" + (folder_ / "auth.sock").string();
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
    builder.RegisterService(&accounts_);
    server_ = builder.BuildAndStart();
    nowhere_ = "unix:" + (folder_ / "nobody.sock").string();
  }
  ~ContactsDirectoryTest() override {
    server_->Shutdown(std::chrono::system_clock::now());
    std::filesystem::remove_all(folder_);
  }

  std::filesystem::path folder_;
  std::string address_;
  std::string nowhere_;
  EvenAccounts accounts_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(ContactsDirectoryTest, TellsWhoIsMissing) {
  RpcDirectory directory({address_});
  EXPECT_TRUE(directory.CheckExist({}).ok());
  EXPECT_THAT(accounts_.Asked(), IsEmpty());
  EXPECT_TRUE(directory.CheckExist({2, 4}).ok());
  const absl::Status status = directory.CheckExist({2, 3, 6, 7});
  EXPECT_THAT(ReasonOf(status), Optional(Reason::USER_NOT_FOUND));
  EXPECT_EQ(DetailsOf(status).metadata.at("user_ids"), "3,7");
}

TEST_F(ContactsDirectoryTest, NamesNoMoreOfTheMissingThanFitIntoATrailer) {
  RpcDirectory directory({address_});
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 1000; ++i) ids.push_back(1'000'000'000'000'000'001 + 2 * i);
  const grpc::Status status = rpc::ToGrpc(directory.CheckExist(ids));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_LT(status.error_details().size() + status.error_message().size(), 4096u);
}

TEST_F(ContactsDirectoryTest, AsksOnceForThoseWhoAreThere) {
  RpcDirectory directory({address_});
  EXPECT_FALSE(directory.CheckExist({2, 4, 5}).ok());
  EXPECT_THAT(accounts_.Asked(), ElementsAre(3));
  // Who was not there may have come since.
  EXPECT_FALSE(directory.CheckExist({2, 4, 5}).ok());
  EXPECT_TRUE(directory.CheckExist({2, 4}).ok());
  EXPECT_THAT(accounts_.Asked(), ElementsAre(1));
}

TEST_F(ContactsDirectoryTest, AsksForAThousandAtATime) {
  RpcDirectory directory({address_});
  std::vector<int64_t> ids;
  for (int64_t id = 1; id <= 2500; ++id) ids.push_back(id * 2);
  EXPECT_TRUE(directory.CheckExist(ids).ok());
  EXPECT_THAT(accounts_.Asked(), ElementsAre(1000, 1000, 500));
  EXPECT_TRUE(directory.CheckExist(ids).ok());
  EXPECT_THAT(accounts_.Asked(), IsEmpty());
}

TEST_F(ContactsDirectoryTest, GoesToTheNextInstance) {
  RpcDirectory directory({nowhere_, address_});
  EXPECT_TRUE(directory.CheckExist({2}).ok());
  EXPECT_THAT(*directory.Match({1, 2, 3}, "all"), ElementsAre(1, 2, 3));
  EXPECT_THAT(*directory.Match({1, 2, 3}, "none"), IsEmpty());
}

TEST_F(ContactsDirectoryTest, SaysThatNobodyCanBeAsked) {
  RpcDirectory directory({nowhere_});
  EXPECT_THAT(ReasonOf(directory.CheckExist({2})), Optional(Reason::SERVICE_UNAVAILABLE));
  EXPECT_THAT(ReasonOf(directory.Match({2}, "all").status()),
              Optional(Reason::SERVICE_UNAVAILABLE));
}

}  // namespace
}  // namespace im::chat
