// A stock client in C++ at the gateway, the twin of ../python/client.py: calls of every kind
// through it to gRPC's interop server, a deadline, a cancellation, 16 MB; and two people who write
// 10,000 messages to each other, with a cut in between. judges_client HOST:PORT [CA_FILE].
#include "tests/judges/cpp/client.h"

#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>

namespace {

std::shared_ptr<grpc::ChannelCredentials> Credentials(const char* ca) {
  if (ca == nullptr) return grpc::InsecureChannelCredentials();
  std::ifstream file(ca);
  Check(file.good(), std::string("cannot read ") + ca);
  grpc::SslCredentialsOptions options;
  options.pem_root_certs.assign(std::istreambuf_iterator<char>(file), {});
  return grpc::SslCredentials(options);
}

}  // namespace

void Fail(const std::string& what) {
  std::cerr << "failed: " << what << std::endl;
  std::_Exit(1);
}

int main(int argc, char** argv) {
  try {
    Check(argc > 1, "judges_client HOST:PORT [CA_FILE]");
    const auto credentials = Credentials(argc > 2 ? argv[2] : nullptr);
    const Connect connect = [&] {
      grpc::ChannelArguments arguments;
      // Not one that is shared with all that goes to the same address.
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      return grpc::CreateCustomChannel(argv[1], credentials, arguments);
    };
    MakeCalls(connect());
    TenThousandEvents(connect);
  } catch (const std::exception& error) {
    Fail(error.what());
  }
}
