#include "tests/support/database.h"

#include <cstdio>
#include <cstdlib>
#include <pqxx/pqxx>
#include <stdexcept>

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

TestDatabase::TestDatabase() : TestDatabase(SharedCluster()) {}

TestDatabase::TestDatabase(const std::string& admin_url)
    : admin_url_(admin_url), name_("test_" + RandomHex(6)) {
  {
    pqxx::connection connection(admin_url_);
    pqxx::nontransaction transaction(connection);
    transaction.exec("CREATE DATABASE " + name_);
  }
  url_ = admin_url_;
  url_.replace(url_.find("///postgres") + 3, 8, name_);
  const auto applied = pg::Migrate(url_, pg::AllMigrations());
  if (!applied.ok()) throw std::runtime_error(applied.status().ToString());
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
