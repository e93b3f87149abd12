import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;

import com.google.protobuf.ByteString;
import io.grpc.Channel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.stub.MetadataUtils;
import io.grpc.testing.integration.EmptyProtos.Empty;
import io.grpc.testing.integration.Messages.EchoStatus;
import io.grpc.testing.integration.Messages.Payload;
import io.grpc.testing.integration.Messages.ResponseParameters;
import io.grpc.testing.integration.Messages.SimpleRequest;
import io.grpc.testing.integration.Messages.StreamingInputCallRequest;
import io.grpc.testing.integration.Messages.StreamingOutputCallRequest;
import io.grpc.testing.integration.TestServiceGrpc;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;

/** Calls of every kind through the gateway to gRPC's interop server. */
final class Calls {
  private static final int SIXTEEN = 16 << 20;
  private static final Metadata.Key<String> ECHO_INITIAL =
      Metadata.Key.of("x-grpc-test-echo-initial", Metadata.ASCII_STRING_MARSHALLER);
  private static final Metadata.Key<byte[]> ECHO_TRAILING =
      Metadata.Key.of("x-grpc-test-echo-trailing-bin", Metadata.BINARY_BYTE_MARSHALLER);

  private final Channel channel;

  Calls(Channel channel) {
    this.channel = channel;
  }

  void all() throws Exception {
    everyKindOfCall();
    metadataAndStatus();
    deadlineAndCancellation();
    sixteenMegabytes();
  }

  private TestServiceGrpc.TestServiceBlockingStub test() {
    return TestServiceGrpc.newBlockingStub(channel).withDeadlineAfter(Client.SOON, SECONDS);
  }

  private TestServiceGrpc.TestServiceStub streams() {
    return TestServiceGrpc.newStub(channel).withDeadlineAfter(Client.SOON, SECONDS);
  }

  private static Payload payload(int size) {
    return Payload.newBuilder().setBody(ByteString.copyFrom(new byte[size])).build();
  }

  private static StreamingInputCallRequest part(int size) {
    return StreamingInputCallRequest.newBuilder().setPayload(payload(size)).build();
  }

  private static StreamingOutputCallRequest.Builder wanted(List<Integer> sizes) {
    var request = StreamingOutputCallRequest.newBuilder();
    for (int size : sizes) request.addResponseParameters(ResponseParameters.newBuilder().setSize(size));
    return request;
  }

  /** The sizes of what the server streams. */
  private List<Integer> output(StreamingOutputCallRequest request) {
    var sizes = new ArrayList<Integer>();
    test().streamingOutputCall(request).forEachRemaining(answer -> sizes.add(answer.getPayload().getBody().size()));
    return sizes;
  }

  /** What the server counted of what it was streamed. */
  private int input(List<Integer> sizes) throws InterruptedException {
    var parts = Stream.of(streams()::streamingInputCall);
    for (int size : sizes) parts.write(part(size));
    parts.finish();
    int counted = parts.next().getAggregatedPayloadSize();
    Client.equal(parts.next(), null);
    return counted;
  }

  private void everyKindOfCall() throws InterruptedException {
    Client.equal(test().emptyCall(Empty.getDefaultInstance()), Empty.getDefaultInstance());
    var large = test().unaryCall(
        SimpleRequest.newBuilder().setResponseSize(314_159).setPayload(payload(271_828)).build());
    Client.equal(large.getPayload().getBody().size(), 314_159);

    Client.equal(input(List.of(27_182, 8, 1_828, 45_904)), 74_922);

    var sizes = List.of(31_415, 9, 2_653, 58_979);
    Client.equal(output(wanted(sizes).build()), sizes);

    var both = Stream.of(streams()::fullDuplexCall);
    for (int size : sizes) { // each only after the answer to the one before
      both.write(wanted(List.of(size)).setPayload(payload(size)).build());
      Client.equal(both.next().getPayload().getBody().size(), size);
    }
    both.finish();
    Client.equal(both.next(), null);
    System.out.println("ok - unary, client streaming, server streaming, both");
  }

  private void metadataAndStatus() throws Exception {
    var sent = new Metadata();
    sent.put(ECHO_INITIAL, "said ~");
    sent.put(ECHO_TRAILING, new byte[] {0, (byte) 0xab, (byte) 0xff});
    var initial = new AtomicReference<Metadata>();
    var trailing = new AtomicReference<Metadata>();
    test()
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(sent),
            MetadataUtils.newCaptureMetadataInterceptor(initial, trailing))
        .unaryCall(SimpleRequest.newBuilder().setResponseSize(1).build());
    var said = new ArrayList<String>();
    initial.get().getAll(ECHO_INITIAL).forEach(said::add);
    Client.equal(said, List.of("said ~"));
    var bytes = new ArrayList<String>();
    trailing.get().getAll(ECHO_TRAILING).forEach(value -> bytes.add(HexFormat.of().formatHex(value)));
    Client.equal(bytes, List.of("00abff"));

    var message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
    var unknown = SimpleRequest.newBuilder()
        .setResponseStatus(EchoStatus.newBuilder().setCode(2).setMessage(message)).build();
    var status = Client.endsWith(Status.Code.UNKNOWN, () -> test().unaryCall(unknown));
    Client.equal(status.getDescription(), message);
    var tooLarge = SimpleRequest.newBuilder().setPayload(payload(3 << 20)).build();
    Client.endsWith(Status.Code.RESOURCE_EXHAUSTED, () -> test().unaryCall(tooLarge));
    System.out.println("ok - metadata, statuses, a message that is too large");
  }

  private void deadlineAndCancellation() throws Exception {
    long begun = System.nanoTime();
    var late = StreamingOutputCallRequest.newBuilder()
        .addResponseParameters(ResponseParameters.newBuilder().setSize(1).setIntervalUs(20_000_000)).build();
    Client.endsWith(Status.Code.DEADLINE_EXCEEDED, () -> test().withDeadlineAfter(300, MILLISECONDS)
        .streamingOutputCall(late).forEachRemaining(answer -> {}));
    Client.check(System.nanoTime() - begun < SECONDS.toNanos(10), "a deadline that came late");

    var cancelled = Stream.of(streams()::fullDuplexCall);
    cancelled.write(wanted(List.of(1)).build());
    Client.equal(cancelled.next().getPayload().getBody().size(), 1);
    cancelled.cancel();
    Client.endsWith(Status.Code.CANCELLED, cancelled::next);
    System.out.println("ok - a deadline, a cancellation");
  }

  private void sixteenMegabytes() throws InterruptedException {
    int chunk = 64 << 10;
    var sizes = Collections.nCopies(SIXTEEN / chunk, chunk);
    Client.equal(output(wanted(sizes).build()).stream().mapToInt(Integer::intValue).sum(), SIXTEEN);
    Client.equal(input(sizes), SIXTEEN);
    System.out.println("ok - 16 MB down, 16 MB up");
  }
}
