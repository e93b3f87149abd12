#include "common/rpc/library_logs.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>

#include <cstdlib>
#include <string>

#include "common/base/log.h"

namespace im::rpc {

void RouteLibraryLogs() {
  google::protobuf::SetLogHandler(
      [](google::protobuf::LogLevel level, const char*, int, const std::string& message) {
        if (level < google::protobuf::LOGLEVEL_WARNING) return;
        Log(LogLevel::kWarning, "library_message", {{"library", "protobuf"}, {"message", message}});
      });
  if (std::getenv("GRPC_VERBOSITY") != nullptr) return;
  gpr_set_log_function([](gpr_log_func_args* args) {
    Log(LogLevel::kWarning, "library_message", {{"library", "grpc"}, {"message", args->message}});
  });
}

}  // namespace im::rpc
