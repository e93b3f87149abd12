import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;
import java.util.Objects;

/**
 * A stock client in Java at the gateway, the twin of ../python/client.py: calls of every kind through it to gRPC's
 * interop server, a deadline, a cancellation, 16 MB; and two people who write 10,000 messages to each other, with a cut
 * in between. Client HOST:PORT [CA_FILE].
 */
public final class Client {
  /** What a call may take, in seconds. */
  static final long SOON = 60;

  private final String server;
  private final ChannelCredentials credentials;

  private Client(String server, String ca) throws IOException {
    this.server = server;
    credentials = ca == null
        ? InsecureChannelCredentials.create()
        : TlsChannelCredentials.newBuilder().trustManager(new File(ca)).build();
  }

  /** A connection of its own. */
  ManagedChannel connect() {
    return Grpc.newChannelBuilder(server, credentials).build();
  }

  interface Part {
    void run() throws Exception;
  }

  static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }

  static void equal(Object got, Object wanted) {
    check(Objects.equals(got, wanted), got + ", not " + wanted);
  }

  /** The call, or the stream that it reads, ends with that status. */
  static Status endsWith(Status.Code code, Part call) throws Exception {
    try {
      call.run();
    } catch (StatusRuntimeException error) {
      equal(error.getStatus().getCode(), code);
      return error.getStatus();
    }
    throw new AssertionError("ended well, not with " + code);
  }

  public static void main(String[] arguments) {
    try {
      var client = new Client(arguments[0], arguments.length > 1 ? arguments[1] : null);
      var channel = client.connect();
      try {
        new Calls(channel).all();
      } finally {
        channel.shutdownNow();
      }
      new Events(client).tenThousand();
      System.exit(0);
    } catch (Throwable error) { // the program ends, and does not wait for a thread that would never
      error.printStackTrace();
      System.exit(1);
    }
  }
}
