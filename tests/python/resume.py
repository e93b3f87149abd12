"""Two people of examples/python/client.py: one sends, the other receives, whatever is killed
meanwhile. Prints what is wrong, if anything, with what was heard, and how often the receiver had to
connect; exit status 0 only if nothing is wrong.

resume.py SERVER COUNT"""
import os
import secrets
import sys
import threading

import client
import grpc
from im.auth.v1 import accounts_pb2 as auth, accounts_pb2_grpc as auth_rpc
from im.chat.v1 import contacts_pb2 as contacts, conversations_pb2 as conversations
from im.chat.v1 import messages_pb2 as messages


class Counted(client.Device):
    """Counts its connections, and what came on the wire twice. Loads what a gap leaves out: whoever was away
    for more than a thousand messages gets the newest only."""

    connections = 0
    repeats = 0

    def _frame(self, frame):
        self.connections += frame.HasField("welcome")
        if frame.HasField("chat") and frame.chat.HasField("entry"):
            entry = frame.chat.entry
            self.repeats += entry.seq <= self.have.get(entry.conversation_id, 0)
        if frame.HasField("chat") and frame.chat.HasField("gap"):
            gap = frame.chat.gap
            yield from history(self, gap.conversation_id, gap.from_seq - 1, gap.to_seq)
        yield from super()._frame(frame)


def register(channel, name):
    login = auth_rpc.AccountServiceStub(channel).Register(auth.RegisterRequest(
        user_name=name + secrets.token_hex(4), password="correct horse " + secrets.token_hex(4)))
    return Counted(channel, login)


def befriend(one, other):
    one.call(one.contacts.RequestContact, contacts.RequestContactRequest(
        user_id=other.user_id, request_id=secrets.token_bytes(16)))
    other.call(other.contacts.AcceptContact, contacts.AcceptContactRequest(
        user_id=one.user_id, request_id=secrets.token_bytes(16)))
    request = conversations.OpenDirectRequest(user_id=other.user_id)
    return one.call(one.conversations.OpenDirect, request).conversation.conversation_id


def history(device, conversation_id, after_seq=0, to_seq=0):
    request = messages.ListEntriesRequest(
        conversation_id=conversation_id, after_seq=after_seq, to_seq=to_seq, page_size=200)
    while True:
        page = device.call(device.messages.ListEntries, request)
        yield from page.entries
        request.page_token = page.next_page_token
        if not request.page_token:
            return


def brief(entry):
    return [entry.seq, entry.message.text.body]


def main():
    server, count = sys.argv[1], int(sys.argv[2])
    # What hangs fails.
    threading.Timer(150, lambda: os._exit(3)).start()
    # People at two machines.
    ann = register(grpc.insecure_channel(server, [("grpc.use_local_subchannel_pool", 1)]), "ann.")
    bert = register(grpc.insecure_channel(server, [("grpc.use_local_subchannel_pool", 1)]), "bert.")
    direct = befriend(ann, bert)
    entries = bert.receive()
    sent = [[ann.send(direct, "0").seq, "0"]]
    heard = [brief(next(entries))]

    def send():
        for number in range(1, count):
            sent.append([ann.send(direct, str(number)).seq, str(number)])

    sender = threading.Thread(target=send)
    sender.start()
    while len(heard) < count:
        heard.append(brief(next(entries)))
    sender.join()
    # Once more from nothing: most of it is a gap.
    bert.stream.cancel()
    bert.have = {}
    again = [brief(next(entries)) for _ in range(count)]
    read = [brief(entry) for entry in history(bert, direct)]
    wrong = 0
    # Every message once, in the order sent, under the seq that its sender was told.
    for what, seen in (("heard", heard), ("heard again", again), ("history", read)):
        if seen != sent:
            wrong += 1
            odd = [pair for pair in zip(seen, sent) if pair[0] != pair[1]][:3]
            print(f"{what}: {len(seen)} of {len(sent)}, first that differ: {odd}")
    seqs = [seq for seq, _ in sent]
    if seqs != list(range(seqs[0], seqs[0] + count)):
        wrong += 1
        print("the seqs of what was sent are not dense")
    print(f"connections {bert.connections} repeats {bert.repeats}", flush=True)
    os._exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
