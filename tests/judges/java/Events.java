import static java.util.concurrent.TimeUnit.NANOSECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;

import com.google.protobuf.ByteString;
import dev.im.auth.v1.AccountServiceGrpc;
import dev.im.auth.v1.RegisterRequest;
import dev.im.chat.v1.AcceptContactRequest;
import dev.im.chat.v1.ContactServiceGrpc;
import dev.im.chat.v1.Content;
import dev.im.chat.v1.ConversationServiceGrpc;
import dev.im.chat.v1.Entry;
import dev.im.chat.v1.Event;
import dev.im.chat.v1.Have;
import dev.im.chat.v1.HaveConversation;
import dev.im.chat.v1.ListEntriesRequest;
import dev.im.chat.v1.MessageServiceGrpc;
import dev.im.chat.v1.OpenDirectRequest;
import dev.im.chat.v1.RequestContactRequest;
import dev.im.chat.v1.SendMessageRequest;
import dev.im.chat.v1.Text;
import dev.im.gateway.v1.ConnectRequest;
import dev.im.gateway.v1.GatewayServiceGrpc;
import dev.im.gateway.v1.Heartbeat;
import dev.im.gateway.v1.Hello;
import dev.im.gateway.v1.ServerFrame;
import io.grpc.Channel;
import io.grpc.Metadata;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.MetadataUtils;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorCompletionService;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;

/** One of two people writes 10,000 messages to the other, whose connection is cut in between. */
final class Events {
  private static final int TOTAL = 10_000;
  private static final int IN_FLIGHT = 64;
  private static final long PATIENCE = 180; // seconds
  private static final SecureRandom RANDOM = new SecureRandom();

  private final Client client;

  Events(Client client) {
    this.client = client;
  }

  private static byte[] random(int size) {
    var bytes = new byte[size];
    RANDOM.nextBytes(bytes);
    return bytes;
  }

  private static String randomHex(int size) {
    return HexFormat.of().formatHex(random(size));
  }

  private static ByteString requestId() {
    return ByteString.copyFrom(random(16));
  }

  /** A new account. */
  private static final class Person {
    final long userId;
    private final Metadata authorization = new Metadata();

    Person(Channel channel, String name) {
      var login = AccountServiceGrpc.newBlockingStub(channel).withDeadlineAfter(Client.SOON, SECONDS)
          .register(RegisterRequest.newBuilder().setUserName(name + randomHex(6))
              .setPassword("correct horse " + randomHex(16)).build());
      userId = login.getProfile().getUserId();
      authorization.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER),
          "Bearer " + login.getTokens().getAccessToken());
    }

    /** The stub's calls are this person's. */
    <S extends AbstractStub<S>> S as(S stub) {
      return stub.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(authorization));
    }

    <S extends AbstractStub<S>> S soonAs(S stub) {
      return as(stub).withDeadlineAfter(Client.SOON, SECONDS);
    }
  }

  /**
   * Hears all that is said in one conversation, by the rules of examples/python: the next entry is taken, an older one
   * dropped, and before a later one what lies between is loaded.
   */
  private final class Receiver {
    final List<String> heard = Collections.synchronizedList(new ArrayList<>());
    volatile long seq;
    int cuts;
    private final Person person;
    private final long conversationId;
    private long epoch;

    Receiver(Person person, long conversationId) {
      this.person = person;
      this.conversationId = conversationId;
    }

    Void receive() throws Exception {
      while (heard.size() < TOTAL) listen();
      return null;
    }

    /** Until all is heard, or the stream ends, or the connection is cut: once, with messages under way. */
    private void listen() throws Exception {
      var channel = client.connect();
      try {
        var stream = Stream.of(person.as(GatewayServiceGrpc.newStub(channel))::connect);
        stream.write(ConnectRequest.newBuilder().setHello(Hello.newBuilder().setHave(have())).build());
        long beat = System.nanoTime();
        for (var response = stream.next(); response != null; response = stream.next()) {
          var frame = response.getFrame();
          switch (frame.getFrameCase()) {
            case WELCOME -> epoch = frame.getWelcome().getEpoch();
            case RESYNC -> stream.write(ConnectRequest.newBuilder().setHave(have()).build());
            case CHAT -> hear(channel, frame.getChat());
            default -> {}
          }
          if (heard.size() >= TOTAL) return;
          if (cuts == 0 && heard.size() > TOTAL / 3) {
            cuts += 1;
            return;
          }
          if (NANOSECONDS.toSeconds(System.nanoTime() - beat) >= 5) {
            stream.write(ConnectRequest.newBuilder().setHeartbeat(Heartbeat.getDefaultInstance()).build());
            beat = System.nanoTime();
          }
        }
      } finally {
        channel.shutdownNow();
      }
    }

    private Have have() {
      var have = Have.newBuilder().setEpoch(epoch);
      if (seq > 0) {
        have.addConversations(HaveConversation.newBuilder().setConversationId(conversationId).setSeq(seq));
      }
      return have.build();
    }

    private void hear(Channel channel, Event event) {
      if (event.hasGap()) {
        load(channel, event.getGap().getToSeq());
      } else if (event.hasEntry() && event.getEntry().getConversationId() == conversationId) {
        load(channel, event.getEntry().getSeq() - 1);
        take(event.getEntry());
      }
    }

    private void load(Channel channel, long toSeq) {
      while (seq < toSeq) {
        var page = person.soonAs(MessageServiceGrpc.newBlockingStub(channel)).listEntries(
            ListEntriesRequest.newBuilder().setConversationId(conversationId).setAfterSeq(seq).setToSeq(toSeq)
                .setPageSize(200).build());
        Client.check(page.getEntriesCount() > 0, "an empty page after " + seq);
        page.getEntriesList().forEach(this::take);
      }
    }

    private void take(Entry entry) {
      if (entry.getSeq() <= seq) return;
      Client.check(entry.getSeq() == seq + 1, entry.getSeq() + " after " + seq + ": an entry was left out");
      seq = entry.getSeq();
      if (entry.hasMessage()) heard.add(entry.getMessage().getText().getBody());
    }
  }

  private static ConnectRequest message(long conversationId, int number) {
    return ConnectRequest.newBuilder().setCallId(number).setSendMessage(
        SendMessageRequest.newBuilder().setConversationId(conversationId).setRequestId(requestId())
            .setContent(Content.newBuilder().setText(Text.newBuilder().setBody(String.valueOf(number))))).build();
  }

  private static Void sendAll(Channel channel, Person person, long conversationId) throws Exception {
    int sent = 0;
    int answered = 0;
    var stream = Stream.of(person.as(GatewayServiceGrpc.newStub(channel))::connect);
    stream.write(ConnectRequest.newBuilder().setHello(Hello.getDefaultInstance()).build());
    while (answered < TOTAL) {
      var response = stream.next();
      Client.check(response != null, "the sender's stream ended after " + answered + " answers");
      var frame = response.getFrame();
      if (frame.getFrameCase() == ServerFrame.FrameCase.WELCOME) {
        while (sent < IN_FLIGHT) stream.write(message(conversationId, ++sent));
      } else if (frame.getFrameCase() == ServerFrame.FrameCase.ANSWER) {
        Client.check(frame.getAnswer().hasSendMessage(), frame.getAnswer().toString());
        answered += 1;
        if (sent < TOTAL) stream.write(message(conversationId, ++sent));
      }
    }
    stream.cancel();
    return null;
  }

  void tenThousand() throws Exception {
    var channel = client.connect();
    var ann = new Person(channel, "ann.");
    var bob = new Person(channel, "bob.");
    ann.soonAs(ContactServiceGrpc.newBlockingStub(channel)).requestContact(RequestContactRequest.newBuilder()
        .setUserId(bob.userId).setRequestId(requestId()).setGreeting("me").build());
    bob.soonAs(ContactServiceGrpc.newBlockingStub(channel)).acceptContact(AcceptContactRequest.newBuilder()
        .setUserId(ann.userId).setRequestId(requestId()).build());
    long direct = ann.soonAs(ConversationServiceGrpc.newBlockingStub(channel))
        .openDirect(OpenDirectRequest.newBuilder().setUserId(bob.userId).build())
        .getConversation().getConversationId();

    var receiver = new Receiver(bob, direct);
    var threads = new ExecutorCompletionService<Void>(Executors.newFixedThreadPool(2));
    List<Callable<Void>> both = List.of(receiver::receive, () -> sendAll(channel, ann, direct));
    both.forEach(threads::submit);
    try {
      long end = System.nanoTime() + SECONDS.toNanos(PATIENCE);
      for (int left = both.size(); left > 0; --left) {
        var done = threads.poll(end - System.nanoTime(), NANOSECONDS);
        Client.check(done != null, "not within " + PATIENCE + " seconds");
        done.get();
      }
    } catch (Throwable error) {
      System.out.println("failed: " + receiver.heard.size() + " messages heard, up to seq " + receiver.seq);
      throw error;
    }
    Client.equal(receiver.cuts, 1);
    Client.equal(IntStream.range(0, receiver.heard.size())
        .filter(place -> !receiver.heard.get(place).equals(String.valueOf(place + 1))).limit(5)
        .mapToObj(place -> place + 1 + ": " + receiver.heard.get(place)).toList(), List.of());
    Client.equal(receiver.heard.size(), TOTAL);
    System.out.println("ok - 10,000 events, each once and in order, with a cut in between");
  }
}
