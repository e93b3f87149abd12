"""A client of IM made from the protos alone: registers, logs in, connects, sends, receives, and goes
on where it was after a cut. ./run.sh [--server 127.0.0.1:7400] [--ca ca.crt] shows two people at it."""
import argparse
import queue
import random
import secrets
import time

import grpc
from im.auth.v1 import accounts_pb2 as auth, accounts_pb2_grpc as auth_rpc
from im.chat.v1 import contacts_pb2 as contacts, contacts_pb2_grpc as contacts_rpc
from im.chat.v1 import conversations_pb2 as conversations, conversations_pb2_grpc as conversations_rpc
from im.chat.v1 import entries_pb2 as entries, sync_pb2 as sync
from im.chat.v1 import messages_pb2 as messages, messages_pb2_grpc as messages_rpc
from im.gateway.v1 import gateway_pb2 as gateway, gateway_pb2_grpc as gateway_rpc

UNKNOWN_OUTCOME = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def pause(failures):
    time.sleep(random.uniform(0, min(30, 0.1 * 2 ** failures)))


class Device:
    """A place where somebody is logged in. `epoch` and `have` are all it must remember."""

    def __init__(self, channel, login):  # the answer to Register or LogIn
        self.accounts = auth_rpc.AccountServiceStub(channel)
        self.contacts = contacts_rpc.ContactServiceStub(channel)
        self.conversations = conversations_rpc.ConversationServiceStub(channel)
        self.messages = messages_rpc.MessageServiceStub(channel)
        self.gateway = gateway_rpc.GatewayServiceStub(channel)
        self.user_id, self.tokens = login.profile.user_id, login.tokens
        self.epoch, self.have = 0, {}  # of which data; conversation -> newest seq

    def _authorization(self):
        if time.time() > self.tokens.access_expires_at.seconds - 30:
            request = auth.RefreshRequest(refresh_token=self.tokens.refresh_token)
            self.tokens = self.accounts.Refresh(request, timeout=10).tokens
        return (("authorization", "Bearer " + self.tokens.access_token),)

    def call(self, method, request):
        """A unary call; while its outcome is unknown, for a minute or so, the same request with its request_id again."""
        for failures in range(12):
            try:
                return method(request, timeout=10, metadata=self._authorization())
            except grpc.RpcError as error:
                if error.code() not in UNKNOWN_OUTCOME or failures == 11:
                    raise
                pause(failures)

    def send(self, conversation_id, text):
        return self.call(self.messages.SendMessage, messages.SendMessageRequest(
            conversation_id=conversation_id, request_id=secrets.token_bytes(16),
            content=entries.Content(text=entries.Text(body=text))))

    def receive(self):
        """Every entry, once and in order, for ever: connects again when the stream breaks."""
        failures = 0
        while True:
            self.outgoing, self.heartbeat = queue.SimpleQueue(), 20
            try:
                self.stream = self.gateway.Connect(self._frames(self.outgoing), metadata=self._authorization())
                for response in self.stream:
                    failures = 0
                    yield from self._frame(response.frame)
            except grpc.RpcError as error:
                if error.code() not in UNKNOWN_OUTCOME + (grpc.StatusCode.CANCELLED,):
                    raise
            self.outgoing.put(None)  # ends _frames
            pause(failures := failures + 1)

    def _have(self):
        return sync.Have(epoch=self.epoch, conversations=[
            sync.HaveConversation(conversation_id=id, seq=seq) for id, seq in self.have.items()])

    def _frames(self, outgoing):
        frame = gateway.ConnectRequest(hello=gateway.Hello(have=self._have()))
        while frame is not None:
            yield frame
            try:
                frame = outgoing.get(timeout=self.heartbeat)
            except queue.Empty:
                frame = gateway.ConnectRequest(heartbeat=gateway.Heartbeat())

    def _frame(self, frame):
        kind = frame.WhichOneof("frame")
        if kind == "welcome":
            self.heartbeat = frame.welcome.heartbeat_interval.ToMilliseconds() / 1000
            if frame.welcome.epoch != self.epoch:  # not the data that we had
                self.epoch, self.have = frame.welcome.epoch, {}
        elif kind == "resync":
            self.outgoing.put(gateway.ConnectRequest(have=self._have()))
        elif kind == "session_end" and not frame.session_end.HasField("reconnect_after"):
            raise RuntimeError(frame.session_end.message)
        elif kind == "chat" and frame.chat.HasField("gap"):  # may be loaded when somebody looks
            self.have[frame.chat.gap.conversation_id] = frame.chat.gap.to_seq
        elif kind == "chat" and frame.chat.HasField("entry"):
            yield from self._entry(frame.chat.entry)

    def _entry(self, entry):
        """Next: apply; older: drop; later: something is missing, so load what lies between."""
        id = entry.conversation_id
        while self.have.get(id, 0) + 1 < entry.seq:
            page = self.call(self.messages.ListEntries, messages.ListEntriesRequest(
                conversation_id=id, after_seq=self.have.get(id, 0), to_seq=entry.seq - 1, page_size=200))
            yield from map(self._apply, page.entries)
            if not page.entries:  # from a time when we were not there
                break
        if self.have.get(id, 0) < entry.seq:
            yield self._apply(entry)

    def _apply(self, entry):
        self.have[entry.conversation_id] = entry.seq
        return entry


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", default="127.0.0.1:7400")
    parser.add_argument("--ca", help="the authority's certificate; without it, plaintext")
    options = parser.parse_args()
    keepalive = [("grpc.keepalive_time_ms", 20000)]  # notices a server that vanished without a word
    tls = grpc.ssl_channel_credentials(open(options.ca, "rb").read()) if options.ca else None
    channel = (grpc.secure_channel(options.server, tls, keepalive) if tls
               else grpc.insecure_channel(options.server, keepalive))  # on the server's own machine
    accounts, password = auth_rpc.AccountServiceStub(channel), "correct horse " + secrets.token_hex(4)
    names = [name + secrets.token_hex(4) for name in ("ann.", "bert.")]
    ann, bert = (Device(channel, accounts.Register(auth.RegisterRequest(user_name=name, password=password)))
                 for name in names)
    ann.call(ann.contacts.RequestContact, contacts.RequestContactRequest(
        user_id=bert.user_id, request_id=secrets.token_bytes(16), greeting="It's me"))
    bert.call(bert.contacts.AcceptContact, contacts.AcceptContactRequest(
        user_id=ann.user_id, request_id=secrets.token_bytes(16)))
    opened = ann.call(ann.conversations.OpenDirect, conversations.OpenDirectRequest(user_id=bert.user_id))
    direct = opened.conversation.conversation_id
    heard = bert.receive()
    ann.send(direct, "Can you hear me?")
    print("bert hears:", next(heard).message.text.body)
    bert.stream.cancel()  # the connection is cut
    for word in ("One.", "Two.", "Three."):
        ann.send(direct, word)
    print("bert, back again, hears:", *(next(heard).message.text.body for _ in range(3)))
    phone = Device(channel, accounts.LogIn(auth.LogInRequest(user_name=names[1], password=password))).receive()
    print("bert's phone hears:", *(next(phone).message.text.body for _ in range(4)))


if __name__ == "__main__":
    main()
