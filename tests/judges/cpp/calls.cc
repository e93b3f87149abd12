#include <map>
#include <vector>

#include "grpc/testing/test.grpc.pb.h"
#include "tests/judges/cpp/client.h"

namespace {

namespace interop = grpc::testing;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using TestService = interop::TestService::Stub;

constexpr int kSixteen = 16 << 20;

interop::StreamingOutputCallRequest Wanted(const std::vector<int>& sizes) {
  interop::StreamingOutputCallRequest request;
  for (const int size : sizes) request.add_response_parameters()->set_size(size);
  return request;
}

// The sizes of what the server streams.
std::vector<int> Output(TestService& test, const std::vector<int>& sizes) {
  Soon context;
  const auto stream = test.StreamingOutputCall(&context, Wanted(sizes));
  interop::StreamingOutputCallResponse answer;
  std::vector<int> seen;
  while (stream->Read(&answer)) seen.push_back(static_cast<int>(answer.payload().body().size()));
  Ok("server streaming", stream->Finish());
  return seen;
}

// What the server counted of what it was streamed.
int Input(TestService& test, const std::vector<int>& sizes) {
  Soon context;
  interop::StreamingInputCallResponse answer;
  const auto stream = test.StreamingInputCall(&context, &answer);
  for (const int size : sizes) {
    interop::StreamingInputCallRequest part;
    part.mutable_payload()->set_body(std::string(size, '\0'));
    if (!stream->Write(part)) break;  // Finish says why
  }
  stream->WritesDone();
  Ok("client streaming", stream->Finish());
  return answer.aggregated_payload_size();
}

void EveryKindOfCall(TestService& test) {
  {
    Soon context;
    interop::Empty answer;
    Ok("an empty call", test.EmptyCall(&context, interop::Empty(), &answer));
    Equal("bytes of an empty answer", answer.ByteSizeLong(), 0);
  }
  {
    Soon context;
    interop::SimpleRequest request;
    interop::SimpleResponse answer;
    request.set_response_size(314'159);
    request.mutable_payload()->set_body(std::string(271'828, '\0'));
    Ok("a large call", test.UnaryCall(&context, request, &answer));
    Equal("bytes of a large answer", answer.payload().body().size(), 314'159);
  }
  Equal("bytes streamed to the server", Input(test, {27'182, 8, 1'828, 45'904}), 74'922);

  const std::vector<int> sizes = {31'415, 9, 2'653, 58'979};
  Check(Output(test, sizes) == sizes, "other sizes than those wanted");

  Soon context;
  const auto both = test.FullDuplexCall(&context);
  interop::StreamingOutputCallResponse answer;
  for (const int size : sizes) {  // each only after the answer to the one before
    interop::StreamingOutputCallRequest request = Wanted({size});
    request.mutable_payload()->set_body(std::string(size, '\0'));
    Check(both->Write(request), "cannot write to the stream");
    Check(both->Read(&answer), "the stream ended early");
    Equal("bytes of an answer", answer.payload().body().size(), size);
  }
  both->WritesDone();
  Check(!both->Read(&answer), "an answer too many");
  Ok("both streaming", both->Finish());
  Passed("unary, client streaming, server streaming, both");
}

using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

std::string Only(const Metadata& metadata, const std::string& key) {
  Equal("values of " + key, metadata.count(key), 1);
  const grpc::string_ref value = metadata.find(key)->second;
  return {value.data(), value.size()};
}

void MetadataAndStatus(TestService& test) {
  {
    Soon context;
    const std::string bytes("\x00\xab\xff", 3);
    context.AddMetadata("x-grpc-test-echo-initial", "said ~");
    context.AddMetadata("x-grpc-test-echo-trailing-bin", bytes);
    interop::SimpleRequest request;
    interop::SimpleResponse answer;
    request.set_response_size(1);
    Ok("a call with metadata", test.UnaryCall(&context, request, &answer));
    Equal("initial metadata", Only(context.GetServerInitialMetadata(), "x-grpc-test-echo-initial"),
          "said ~");
    Equal("trailing metadata",
          Only(context.GetServerTrailingMetadata(), "x-grpc-test-echo-trailing-bin"), bytes);
  }
  {
    Soon context;
    const std::string message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
    interop::SimpleRequest request;
    interop::SimpleResponse answer;
    request.mutable_response_status()->set_code(grpc::StatusCode::UNKNOWN);
    request.mutable_response_status()->set_message(message);
    const grpc::Status status = test.UnaryCall(&context, request, &answer);
    EndsWith(grpc::StatusCode::UNKNOWN, "a call with a status", status);
    Equal("the status's message", status.error_message(), message);
  }
  Soon context;
  interop::SimpleRequest request;
  interop::SimpleResponse answer;
  request.mutable_payload()->set_body(std::string(3 << 20, '\0'));
  EndsWith(grpc::StatusCode::RESOURCE_EXHAUSTED, "too large a call",
           test.UnaryCall(&context, request, &answer));
  Passed("metadata, statuses, a message that is too large");
}

void DeadlineAndCancellation(TestService& test) {
  interop::StreamingOutputCallResponse answer;
  {
    const auto begun = steady_clock::now();
    grpc::ClientContext context;
    context.set_deadline(system_clock::now() + std::chrono::milliseconds(300));
    interop::StreamingOutputCallRequest late = Wanted({1});
    late.mutable_response_parameters(0)->set_interval_us(20'000'000);
    const auto stream = test.StreamingOutputCall(&context, late);
    while (stream->Read(&answer)) continue;
    EndsWith(grpc::StatusCode::DEADLINE_EXCEEDED, "a call that takes too long", stream->Finish());
    Check(steady_clock::now() - begun < std::chrono::seconds(10), "a deadline that came late");
  }
  Soon context;
  const auto stream = test.FullDuplexCall(&context);
  Check(stream->Write(Wanted({1})), "cannot write to the stream");
  Check(stream->Read(&answer), "the stream ended early");
  Equal("bytes of an answer", answer.payload().body().size(), 1);
  context.TryCancel();
  while (stream->Read(&answer)) continue;
  EndsWith(grpc::StatusCode::CANCELLED, "a call that was cancelled", stream->Finish());
  Passed("a deadline, a cancellation");
}

void SixteenMegabytes(TestService& test) {
  const std::vector<int> chunks(kSixteen >> 16, 1 << 16);
  Check(Output(test, chunks) == chunks, "less than 16 MB came down");
  Equal("bytes that went up", Input(test, chunks), kSixteen);
  Passed("16 MB down, 16 MB up");
}

}  // namespace

void MakeCalls(const std::shared_ptr<grpc::Channel>& channel) {
  const auto test = interop::TestService::NewStub(channel);
  EveryKindOfCall(*test);
  MetadataAndStatus(*test);
  DeadlineAndCancellation(*test);
  SixteenMegabytes(*test);
}
