#include "tests/support/database.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <pqxx/pqxx>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "common/base/random.h"
#include "common/pg/migrate.h"

namespace im::testing {
namespace {

const std::string& SharedCluster() {
  static const std::string* url = new std::string(StartCluster(IM_TEST_POSTGRES_DIR));
  return *url;
}

}  // namespace

std::string PostgresScript(const std::string& arguments) {
  const std::string command = IM_SOURCE_DIR "/tests/support/postgres.sh " + arguments;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  std::string output;
  char buffer[512];
  while (std::fgets(buffer, sizeof buffer, pipe) != nullptr) output += buffer;
  if (pclose(pipe) != 0) throw std::runtime_error("failed: " + command);
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

std::string StartCluster(const std::string& folder, const std::string& settings) {
  return PostgresScript("start '" + folder + "' " + settings);
}

void MakeRoles(const std::string& url) {
  std::ifstream file(IM_SOURCE_DIR "/deploy/postgresql/roles.sql");
  std::stringstream sql;
  sql << file.rdbuf();
  pqxx::connection connection(url);
  pqxx::nontransaction transaction(connection);
  transaction.exec(sql.str());
}

TestDatabase::TestDatabase() : TestDatabase(SharedCluster()) {}

TestDatabase::TestDatabase(const std::string& admin_url)
    : admin_url_(admin_url), name_("test_" + RandomHex(6)) {
  Create("");
  MakeRoles(url_);
  const auto applied = pg::Migrate(UrlOf("owner"), pg::AllMigrations());
  if (!applied.ok()) throw std::runtime_error(applied.status().ToString());
  const absl::Status granted = pg::Grant(UrlOf("owner"));
  if (!granted.ok()) throw std::runtime_error(granted.ToString());
}

TestDatabase::TestDatabase(CopyOf copy)
    : admin_url_(copy.original.admin_url_), name_("test_" + RandomHex(6)) {
  {
    pqxx::connection connection(admin_url_);
    pqxx::nontransaction transaction(connection);
    transaction.exec_params(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
        copy.original.name_);
  }
  Create(" OWNER im_owner TEMPLATE " + copy.original.name_);
}

void TestDatabase::Create(const std::string& options) {
  pqxx::connection connection(admin_url_);
  pqxx::nontransaction transaction(connection);
  transaction.exec("CREATE DATABASE " + name_ + options);
  url_ = admin_url_;
  url_.replace(url_.find("///postgres") + 3, 8, name_);
}

TestDatabase::~TestDatabase() {
  try {
    pqxx::connection connection(admin_url_);
    pqxx::nontransaction transaction(connection);
    transaction.exec("DROP DATABASE " + name_ + " WITH (FORCE)");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "cannot drop %s: %s\n", name_.c_str(), e.what());
  }
}

std::string TestDatabase::UrlOf(const std::string& role) const {
  constexpr std::string_view kSuperuser = "user=im";
  std::string url = url_;
  return url.replace(url.find(kSuperuser), kSuperuser.size(), "user=im_" + role);
}

void TestDatabase::Exec(const std::string& sql) {
  pqxx::connection connection(url_);
  pqxx::nontransaction transaction(connection);
  transaction.exec(sql);
}

std::string TestDatabase::Value(const std::string& sql) {
  pqxx::connection connection(url_);
  pqxx::nontransaction transaction(connection);
  return transaction.exec(sql).at(0).at(0).as<std::string>();
}

}  // namespace im::testing
