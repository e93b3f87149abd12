import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Function;

/**
 * A stream of the asynchronous stub for one thread, which writes to it and reads from it in turn; gRPC 1.64 has no
 * such stub for streams of requests.
 */
final class Stream<Q, A> implements ClientResponseObserver<Q, A> {
  /** An answer; or the end, which without an error is a good one. */
  private record Event<A>(A answer, StatusRuntimeException error) {}

  private final BlockingQueue<Event<A>> incoming = new LinkedBlockingQueue<>();
  private ClientCallStreamObserver<Q> outgoing;
  private boolean ended; // guarded by this

  private Stream() {}

  /** The stream of a method of a stub. */
  static <Q, A> Stream<Q, A> of(Function<StreamObserver<A>, StreamObserver<Q>> method) {
    var stream = new Stream<Q, A>();
    method.apply(stream);
    return stream;
  }

  /** Waits while the server does not take what was written before. */
  void write(Q request) throws InterruptedException {
    synchronized (this) {
      while (!outgoing.isReady() && !ended) wait();
    }
    outgoing.onNext(request);
  }

  /** No more is written. */
  void finish() {
    outgoing.onCompleted();
  }

  void cancel() {
    outgoing.cancel("cancelled", null);
  }

  /** Waits for the next answer. Null after a good end; throws the error of another. */
  A next() throws InterruptedException {
    var event = incoming.take();
    if (event.answer != null) return event.answer;
    incoming.add(event); // for whoever asks again
    if (event.error != null) throw event.error;
    return null;
  }

  @Override
  public void beforeStart(ClientCallStreamObserver<Q> requests) {
    outgoing = requests;
    outgoing.setOnReadyHandler(this::wake);
  }

  @Override
  public void onNext(A answer) {
    incoming.add(new Event<>(answer, null));
  }

  @Override
  public void onError(Throwable error) {
    end(Status.fromThrowable(error).asRuntimeException());
  }

  @Override
  public void onCompleted() {
    end(null);
  }

  private void end(StatusRuntimeException error) {
    incoming.add(new Event<>(null, error));
    synchronized (this) {
      ended = true;
    }
    wake();
  }

  private synchronized void wake() {
    notifyAll();
  }
}
