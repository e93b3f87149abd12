"""A stock client in Python at the gateway, the twin of ../node/client.js: calls of every kind through it to gRPC's
interop server, a deadline, a cancellation, 16 MB; and two people who write 10,000 messages to each other, with a cut
in between. client.py HOST:PORT [CA_FILE]; PYTHONPATH names the stubs."""
import concurrent.futures
import os
import queue
import secrets
import sys
import time
import traceback

import grpc
import test_pb2 as interop, test_pb2_grpc as interop_rpc
from im.auth.v1 import accounts_pb2 as auth, accounts_pb2_grpc as auth_rpc
from im.chat.v1 import contacts_pb2 as contacts, contacts_pb2_grpc as contacts_rpc
from im.chat.v1 import conversations_pb2 as conversations, conversations_pb2_grpc as conversations_rpc
from im.chat.v1 import entries_pb2 as entries, sync_pb2 as sync
from im.chat.v1 import messages_pb2 as messages, messages_pb2_grpc as messages_rpc
from im.gateway.v1 import gateway_pb2 as gateway, gateway_pb2_grpc as gateway_rpc

SOON = 60  # seconds
PATIENCE = 180
SIXTEEN = 16 << 20
TOTAL = 10_000
IN_FLIGHT = 64


def equal(got, wanted):
    assert got == wanted, f"{got!r}, not {wanted!r}"


def ends_with(code, call, *arguments, **options):
    """The call, or the stream that it opens, ends with that status. Returns the error."""
    try:
        answer = call(*arguments, **options)
        if hasattr(answer, "__next__"):
            for _ in answer:
                pass
    except grpc.RpcError as error:
        equal(error.code(), code)
        return error
    raise AssertionError(f"ended well, not with {code}")


def connection(server, ca):
    # A connection of its own, and not one that is shared with all that goes to the same address.
    options = [("grpc.use_local_subchannel_pool", 1)]
    if ca is None:
        return grpc.insecure_channel(server, options)
    with open(ca, "rb") as file:
        return grpc.secure_channel(server, grpc.ssl_channel_credentials(file.read()), options)


def payload(size):
    return interop.Payload(body=bytes(size))


def wanted(*sizes, **options):
    return interop.StreamingOutputCallRequest(
        response_parameters=[interop.ResponseParameters(size=size) for size in sizes], **options)


def every_kind_of_call(test):
    equal(test.EmptyCall(interop.Empty(), timeout=SOON), interop.Empty())
    large = test.UnaryCall(interop.SimpleRequest(response_size=314_159, payload=payload(271_828)), timeout=SOON)
    equal(len(large.payload.body), 314_159)

    parts = (interop.StreamingInputCallRequest(payload=payload(size)) for size in (27_182, 8, 1_828, 45_904))
    equal(test.StreamingInputCall(parts, timeout=SOON).aggregated_payload_size, 74_922)

    sizes = [31_415, 9, 2_653, 58_979]
    output = test.StreamingOutputCall(wanted(*sizes), timeout=SOON)
    equal([len(answer.payload.body) for answer in output], sizes)

    outgoing = queue.SimpleQueue()
    both = test.FullDuplexCall(iter(outgoing.get, None), timeout=SOON)
    for size in sizes:  # each only after the answer to the one before
        outgoing.put(wanted(size, payload=payload(size)))
        equal(len(next(both).payload.body), size)
    outgoing.put(None)
    equal(list(both), [])
    equal(both.code(), grpc.StatusCode.OK)
    print("ok - unary, client streaming, server streaming, both")


def metadata_and_status(test):
    metadata = (("x-grpc-test-echo-initial", "said ~"), ("x-grpc-test-echo-trailing-bin", b"\x00\xab\xff"))
    _, call = test.UnaryCall.with_call(interop.SimpleRequest(response_size=1), metadata=metadata, timeout=SOON)
    equal([value for key, value in call.initial_metadata() if key == "x-grpc-test-echo-initial"], ["said ~"])
    equal([value for key, value in call.trailing_metadata() if key == "x-grpc-test-echo-trailing-bin"],
          [b"\x00\xab\xff"])
    message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    error = ends_with(grpc.StatusCode.UNKNOWN, test.UnaryCall, interop.SimpleRequest(
        response_status=interop.EchoStatus(code=2, message=message)), timeout=SOON)
    equal(error.details(), message)
    ends_with(grpc.StatusCode.RESOURCE_EXHAUSTED, test.UnaryCall,
              interop.SimpleRequest(payload=payload(3 << 20)), timeout=SOON)
    print("ok - metadata, statuses, a message that is too large")


def deadline_and_cancellation(test):
    begun = time.monotonic()
    late = interop.StreamingOutputCallRequest(
        response_parameters=[interop.ResponseParameters(size=1, interval_us=20_000_000)])
    ends_with(grpc.StatusCode.DEADLINE_EXCEEDED, test.StreamingOutputCall, late, timeout=0.3)
    assert time.monotonic() - begun < 10
    outgoing = queue.SimpleQueue()
    outgoing.put(wanted(1))
    call = test.FullDuplexCall(iter(outgoing.get, None), timeout=SOON)
    equal(len(next(call).payload.body), 1)
    call.cancel()
    ends_with(grpc.StatusCode.CANCELLED, lambda: call)
    outgoing.put(None)
    print("ok - a deadline, a cancellation")


def sixteen_megabytes(test):
    chunk = 64 << 10
    down = test.StreamingOutputCall(wanted(*[chunk] * (SIXTEEN // chunk)), timeout=SOON)
    equal(sum(len(answer.payload.body) for answer in down), SIXTEEN)
    up = (interop.StreamingInputCallRequest(payload=payload(chunk)) for _ in range(SIXTEEN // chunk))
    equal(test.StreamingInputCall(up, timeout=SOON).aggregated_payload_size, SIXTEEN)
    print("ok - 16 MB down, 16 MB up")


def frames(outgoing):
    """What is put into the queue, up to None, and a sign of life when that is nothing."""
    while True:
        try:
            frame = outgoing.get(timeout=5)
        except queue.Empty:
            frame = gateway.ConnectRequest(heartbeat=gateway.Heartbeat())
        if frame is None:
            return
        yield frame


class Person:
    def __init__(self, channel, name):
        login = auth_rpc.AccountServiceStub(channel).Register(auth.RegisterRequest(
            user_name=name + secrets.token_hex(6), password="correct horse " + secrets.token_hex(16)), timeout=SOON)
        self.user_id = login.profile.user_id
        self.options = {"metadata": (("authorization", "Bearer " + login.tokens.access_token),)}
        self.soon = {**self.options, "timeout": SOON}


class Receiver:
    """Hears all that is said in one conversation, by the rules of examples/python: the next entry is taken, an older
    one dropped, and before a later one what lies between is loaded."""

    def __init__(self, connect, person, conversation_id):
        self.connect, self.person, self.conversation_id = connect, person, conversation_id
        self.heard, self.seq, self.epoch, self.cuts = [], 0, 0, 0

    def _have(self):
        stays = [sync.HaveConversation(conversation_id=self.conversation_id, seq=self.seq)] if self.seq else []
        return sync.Have(epoch=self.epoch, conversations=stays)

    def _take(self, entry):
        if entry.seq <= self.seq:
            return
        assert entry.seq == self.seq + 1, f"{entry.seq} after {self.seq}: an entry was left out"
        self.seq = entry.seq
        if entry.HasField("message"):
            self.heard.append(entry.message.text.body)

    def _load(self, channel, to_seq):
        while self.seq < to_seq:
            page = messages_rpc.MessageServiceStub(channel).ListEntries(messages.ListEntriesRequest(
                conversation_id=self.conversation_id, after_seq=self.seq, to_seq=to_seq, page_size=200),
                **self.person.soon)
            assert page.entries
            for entry in page.entries:
                self._take(entry)

    def _frame(self, channel, outgoing, frame):
        kind = frame.WhichOneof("frame")
        if kind == "welcome":
            self.epoch = frame.welcome.epoch
        elif kind == "resync":
            outgoing.put(gateway.ConnectRequest(have=self._have()))
        elif kind == "chat" and frame.chat.HasField("gap"):
            self._load(channel, frame.chat.gap.to_seq)
        elif kind == "chat" and frame.chat.HasField("entry"):
            entry = frame.chat.entry
            if entry.conversation_id == self.conversation_id:
                self._load(channel, entry.seq - 1)
                self._take(entry)

    def _listen(self):
        """Until all is heard, or the stream ends, or the connection is cut: once, with messages under way."""
        outgoing = queue.SimpleQueue()
        outgoing.put(gateway.ConnectRequest(hello=gateway.Hello(have=self._have())))
        with self.connect() as channel:
            stream = gateway_rpc.GatewayServiceStub(channel).Connect(frames(outgoing), **self.person.options)
            for response in stream:
                self._frame(channel, outgoing, response.frame)
                if len(self.heard) >= TOTAL:
                    break
                if self.cuts == 0 and len(self.heard) > TOTAL / 3:
                    self.cuts += 1
                    break
        outgoing.put(None)

    def receive(self):
        while len(self.heard) < TOTAL:
            self._listen()


def send_all(channel, person, conversation_id):
    sent, answered, outgoing = 0, 0, queue.SimpleQueue()

    def send():
        nonlocal sent
        sent += 1
        outgoing.put(gateway.ConnectRequest(call_id=sent, send_message=messages.SendMessageRequest(
            conversation_id=conversation_id, request_id=secrets.token_bytes(16),
            content=entries.Content(text=entries.Text(body=str(sent))))))

    outgoing.put(gateway.ConnectRequest(hello=gateway.Hello()))
    stream = gateway_rpc.GatewayServiceStub(channel).Connect(frames(outgoing), **person.options)
    for response in stream:
        kind = response.frame.WhichOneof("frame")
        if kind == "welcome":
            for _ in range(IN_FLIGHT):
                send()
        elif kind == "answer":
            assert response.frame.answer.HasField("send_message"), response.frame.answer
            answered += 1
            if sent < TOTAL:
                send()
            if answered == TOTAL:
                break
    equal(answered, TOTAL)
    outgoing.put(None)
    stream.cancel()


def ten_thousand_events(connect):
    with connect() as channel, concurrent.futures.ThreadPoolExecutor() as threads:
        ann, bob = Person(channel, "ann."), Person(channel, "bob.")
        contact = contacts_rpc.ContactServiceStub(channel)
        contact.RequestContact(contacts.RequestContactRequest(
            user_id=bob.user_id, request_id=secrets.token_bytes(16), greeting="me"), **ann.soon)
        contact.AcceptContact(contacts.AcceptContactRequest(
            user_id=ann.user_id, request_id=secrets.token_bytes(16)), **bob.soon)
        direct = conversations_rpc.ConversationServiceStub(channel).OpenDirect(
            conversations.OpenDirectRequest(user_id=bob.user_id), **ann.soon).conversation.conversation_id
        receiver = Receiver(connect, bob, direct)
        both = [threads.submit(receiver.receive), threads.submit(send_all, channel, ann, direct)]
        try:
            for future in concurrent.futures.as_completed(both, timeout=PATIENCE):
                future.result()
        except BaseException:  # the program ends, and does not wait for the thread that would never
            traceback.print_exc()
            print(f"failed: {len(receiver.heard)} messages heard, up to seq {receiver.seq}")
            os._exit(1)
    equal(receiver.cuts, 1)
    equal([(place, body) for place, body in enumerate(receiver.heard, 1) if body != str(place)][:5], [])
    equal(len(receiver.heard), TOTAL)
    print("ok - 10,000 events, each once and in order, with a cut in between")


def main():
    server, ca = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None

    def connect():
        return connection(server, ca)

    with connect() as channel:
        test = interop_rpc.TestServiceStub(channel)
        for part in (every_kind_of_call, metadata_and_status, deadline_and_cancellation, sixteen_megabytes):
            part(test)
    ten_thousand_events(connect)


if __name__ == "__main__":
    main()
