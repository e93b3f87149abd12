// A stock client in Node at the gateway: calls of every kind through it to gRPC's interop server, a deadline, a
// cancellation, 16 MB; and two people who write 10,000 messages to each other, with a cut in between.
// node client.js PROTO_DIRS(comma-separated) HOST:PORT [CA_FILE]; NODE_PATH names the packages.
'use strict';
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [, , folders, server, ca] = process.argv;
const files = ['grpc/testing/test.proto', 'im/auth/v1/accounts.proto', 'im/chat/v1/contacts.proto',
  'im/chat/v1/conversations.proto', 'im/chat/v1/messages.proto', 'im/gateway/v1/gateway.proto'];
const api = grpc.loadPackageDefinition(loader.loadSync(files,
  {includeDirs: folders.split(','), keepCase: true, longs: Number, oneofs: true}));
const credentials = ca ? grpc.credentials.createSsl(fs.readFileSync(ca)) : grpc.credentials.createInsecure();
const stub = (service) => new service(server, credentials);

const soon = () => ({deadline: Date.now() + 60_000});
const unary = (client, method, request, metadata = new grpc.Metadata(), options = soon()) =>
  new Promise((resolve, reject) => client[method](request, metadata, options,
    (error, response) => error ? reject(error) : resolve(response)));
// The error that a stream ends with; null after a good end.
const endOf = (stream) => new Promise((resolve) => {
  stream.on('error', resolve);
  stream.on('end', () => setImmediate(() => resolve(null)));
});

async function everyKindOfCall() {
  const test = stub(api.grpc.testing.TestService);
  assert.deepEqual(await unary(test, 'EmptyCall', {}), {});
  const large = await unary(test, 'UnaryCall', {response_size: 314_159, payload: {body: Buffer.alloc(271_828)}});
  assert.equal(large.payload.body.length, 314_159);

  const input = new Promise((resolve, reject) => {
    const call = test.StreamingInputCall(soon(), (error, answer) => error ? reject(error) : resolve(answer));
    for (const size of [27_182, 8, 1_828, 45_904]) call.write({payload: {body: Buffer.alloc(size)}});
    call.end();
  });
  assert.equal((await input).aggregated_payload_size, 74_922);

  const sizes = [31_415, 9, 2_653, 58_979];
  const output = test.StreamingOutputCall({response_parameters: sizes.map((size) => ({size}))}, soon());
  const seen = [];
  output.on('data', (answer) => seen.push(answer.payload.body.length));
  assert.equal(await endOf(output), null);
  assert.deepEqual(seen, sizes);

  const both = test.FullDuplexCall(soon());
  const answers = both[Symbol.asyncIterator]();
  for (const size of sizes) {
    both.write({response_parameters: [{size}], payload: {body: Buffer.alloc(size)}});
    assert.equal((await answers.next()).value.payload.body.length, size);
  }
  both.end();
  assert.equal((await answers.next()).done, true);
  console.log('ok - unary, client streaming, server streaming, both');
}

async function metadataAndStatus() {
  const test = stub(api.grpc.testing.TestService);
  const metadata = new grpc.Metadata();
  metadata.set('x-grpc-test-echo-initial', 'said ~');
  metadata.set('x-grpc-test-echo-trailing-bin', Buffer.from([0, 171, 255]));
  const call = test.UnaryCall({response_size: 1}, metadata, soon(), () => {});
  const [initial, status] = await Promise.all([
    new Promise((resolve) => call.on('metadata', resolve)), new Promise((resolve) => call.on('status', resolve))]);
  assert.deepEqual(initial.get('x-grpc-test-echo-initial'), ['said ~']);
  assert.deepEqual(status.metadata.get('x-grpc-test-echo-trailing-bin'), [Buffer.from([0, 171, 255])]);
  const message = '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n';
  await assert.rejects(unary(test, 'UnaryCall', {response_status: {code: 2, message}}), {code: 2, details: message});
  await assert.rejects(unary(test, 'UnaryCall', {payload: {body: Buffer.alloc(3 << 20)}}),
    {code: grpc.status.RESOURCE_EXHAUSTED});
  console.log('ok - metadata, statuses, a message that is too large');
}

async function deadlineAndCancellation() {
  const test = stub(api.grpc.testing.TestService);
  const begun = Date.now();
  const sleeping = test.StreamingOutputCall({response_parameters: [{size: 1, interval_us: 20_000_000}]},
    {deadline: Date.now() + 300});
  sleeping.resume();
  assert.equal((await endOf(sleeping)).code, grpc.status.DEADLINE_EXCEEDED);
  assert.ok(Date.now() - begun < 10_000);
  const cancelled = test.FullDuplexCall(soon());
  cancelled.write({response_parameters: [{size: 1}]});
  cancelled.once('data', () => cancelled.cancel());
  assert.equal((await endOf(cancelled)).code, grpc.status.CANCELLED);
  console.log('ok - a deadline, a cancellation');
}

async function sixteenMegabytes() {
  const test = stub(api.grpc.testing.TestService);
  const down = test.StreamingOutputCall({response_parameters: Array(256).fill({size: 64 << 10})}, soon());
  let bytes = 0;
  for await (const answer of down) bytes += answer.payload.body.length;
  assert.equal(bytes, 16 << 20);
  const up = new Promise((resolve, reject) => {
    const call = test.StreamingInputCall(soon(), (error, answer) => error ? reject(error) : resolve(answer));
    let left = 256;
    const write = () => {
      while (left > 0) {
        left -= 1;
        if (!call.write({payload: {body: Buffer.alloc(64 << 10)}})) return call.once('drain', write);
      }
      call.end();
    };
    write();
  });
  assert.equal((await up).aggregated_payload_size, 16 << 20);
  console.log('ok - 16 MB down, 16 MB up');
}

async function tenThousandEvents() {
  const accounts = stub(api.im.auth.v1.AccountService);
  const contacts = stub(api.im.chat.v1.ContactService);
  const conversations = stub(api.im.chat.v1.ConversationService);
  const messages = stub(api.im.chat.v1.MessageService);
  const gateway = stub(api.im.gateway.v1.GatewayService);
  const id = () => crypto.randomBytes(16);
  const [ann, bob] = await Promise.all(['ann.', 'bob.'].map(async (name) => {
    const login = await unary(accounts, 'Register',
      {user_name: name + id().toString('hex', 0, 6), password: 'correct horse ' + id().toString('hex')});
    const metadata = new grpc.Metadata();
    metadata.set('authorization', 'Bearer ' + login.tokens.access_token);
    return {user_id: login.profile.user_id, metadata};
  }));
  await unary(contacts, 'RequestContact', {user_id: bob.user_id, request_id: id(), greeting: 'me'}, ann.metadata);
  await unary(contacts, 'AcceptContact', {user_id: ann.user_id, request_id: id()}, bob.metadata);
  const opened = await unary(conversations, 'OpenDirect', {user_id: bob.user_id}, ann.metadata);
  const direct = opened.conversation.conversation_id;

  const total = 10_000;
  const heard = [];
  let have = 0;
  let epoch = 0;
  let cuts = 0;
  const take = (entry) => {
    if (entry.seq <= have) return;
    assert.equal(entry.seq, have + 1, 'an entry was left out');
    have = entry.seq;
    if (entry.message) heard.push(entry.message.text.body);
  };
  const load = async (to) => {
    while (have < to) {
      const page = await unary(messages, 'ListEntries',
        {conversation_id: direct, after_seq: have, to_seq: to, page_size: 200}, bob.metadata);
      assert.ok(page.entries.length > 0);
      page.entries.forEach(take);
    }
  };
  const listen = async () => {
    const stream = gateway.Connect(bob.metadata);
    stream.on('error', () => {});
    const known = () => ({epoch, conversations: have > 0 ? [{conversation_id: direct, seq: have}] : []});
    stream.write({hello: {have: known()}});
    const beat = setInterval(() => stream.write({heartbeat: {}}), 5_000);
    try {
      for await (const {frame} of stream) {
        if (frame.welcome) epoch = frame.welcome.epoch;
        if (frame.resync) stream.write({have: known()});
        if (frame.chat && frame.chat.gap) await load(frame.chat.gap.to_seq);
        if (frame.chat && frame.chat.entry && frame.chat.entry.conversation_id === direct) {
          if (frame.chat.entry.seq > have + 1) await load(frame.chat.entry.seq - 1);
          take(frame.chat.entry);
        }
        if (heard.length >= total) return stream.cancel();
        // Without a word, with messages under way.
        if (cuts === 0 && heard.length > total / 3) {
          cuts += 1;
          return stream.cancel();
        }
      }
    } finally {
      clearInterval(beat);
    }
  };
  const receiving = (async () => {
    while (heard.length < total) await listen();
  })();

  const sender = gateway.Connect(ann.metadata);
  sender.on('error', () => {});
  sender.write({hello: {}});
  const sending = (async () => {
    let sent = 0;
    let answered = 0;
    const send = () => {
      sent += 1;
      sender.write({call_id: sent, send_message: {conversation_id: direct, request_id: id(),
        content: {text: {body: String(sent)}}}});
    };
    for await (const {frame} of sender) {
      if (frame.welcome) for (let i = 0; i < 64; ++i) send();
      if (!frame.answer) continue;
      assert.ok(frame.answer.send_message, JSON.stringify(frame.answer));
      answered += 1;
      if (sent < total) send();
      if (answered === total) return sender.cancel();
    }
  })();
  await Promise.all([sending, receiving]);
  assert.equal(cuts, 1);
  assert.deepEqual(heard, Array.from({length: total}, (_, i) => String(i + 1)));
  console.log('ok - 10,000 events, each once and in order, with a cut in between');
}

(async () => {
  for (const part of [everyKindOfCall, metadataAndStatus, deadlineAndCancellation, sixteenMegabytes,
    tenThousandEvents]) {
    await part();
  }
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
