// Tests of parts of safe.js that faults on a real server do not reach, with sockets and
// timers of their own. random_test.go tests the whole.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, mock, test } from "node:test";
import { applyPatch, CatchUp, connect, Reconnector, SafeError } from "./safe.js";

// ---- Patches ----

test("patch suite", () => {
  const folder = new URL("../../internal/jsonpatch/testdata/json-patch-tests/", import.meta.url);
  let compared = 0;
  for (const name of ["tests.json", "spec_tests.json"]) {
    for (const { doc, patch, expected, error, disabled } of JSON.parse(readFileSync(new URL(name, folder)))) {
      const known = patch.every(({ op }) => ["add", "remove", "replace"].includes(op));
      if (disabled || !known || (expected === undefined && error === undefined)) continue;
      const before = structuredClone(doc);
      if (error !== undefined && patch.some((o) => o.op !== "remove" && !("value" in o))) continue; // Servers send none.
      compared++;
      if (error === undefined) assert.deepEqual(applyPatch(doc, patch), expected);
      else assert.throws(() => applyPatch(doc, patch), { code: "bad-patch" }, JSON.stringify({ doc, patch, error }));
      assert.deepEqual(doc, before, "the state before the patch was changed");
    }
  }
  assert.ok(compared > 40, `only ${compared} patches`);
});

test("patch shares unchanged parts", () => {
  const state = { cards: [{ n: 1 }, { n: 2 }], users: { a: {} } };
  const after = applyPatch(state, [
    { op: "replace", path: "/cards/0/n", value: 5 },
    { op: "add", path: "/cards/-", value: { n: 3 } },
    { op: "replace", path: "/cards/2/n", value: 4 },
  ]);
  assert.deepEqual(after, { cards: [{ n: 5 }, { n: 2 }, { n: 4 }], users: { a: {} } });
  assert.equal(after.users, state.users);
  assert.equal(after.cards[1], state.cards[1]);
  assert.notEqual(after.cards[0], state.cards[0]);
});

test("patch does not change its values", () => {
  const patch = [{ op: "add", path: "/a", value: { n: 1 } }, { op: "replace", path: "/a/n", value: 2 }];
  assert.deepEqual(applyPatch({}, patch), { a: { n: 2 } });
  assert.deepEqual(patch[0].value, { n: 1 });
});

test("patch of __proto__", () => {
  const state = JSON.parse('{"__proto__":{"n":1}}');
  const after = applyPatch(state, [{ op: "replace", path: "/__proto__/n", value: 2 }, { op: "add", path: "/x", value: 1 }]);
  assert.equal(JSON.stringify(after), '{"__proto__":{"n":2},"x":1}');
  assert.equal(JSON.stringify(applyPatch({}, [{ op: "add", path: "/__proto__", value: { evil: 1 } }])), '{"__proto__":{"evil":1}}');
  assert.throws(() => applyPatch({}, [{ op: "add", path: "/__proto__/evil", value: 1 }]), SafeError);
  assert.equal({}.evil, undefined);
});

// ---- Reconnecting ----

test("delay by close code", () => {
  const backoff = { initialMs: 500, maxMs: 30_000, factor: 2, jitter: 0 };
  const delays = (ends, asksToken = true) => {
    const reconnector = new Reconnector(backoff, asksToken);
    return ends.map((end) => { const { stop, delayMs } = reconnector.next(end); return stop ? "stop" : delayMs; });
  };
  const lost = { code: 0 };
  assert.deepEqual(delays([lost, lost, lost]), [500, 1000, 2000], "backoff");
  assert.deepEqual(delays(Array(8).fill(lost)).at(-1), 30_000, "the longest delay");
  assert.deepEqual(delays([lost, { ...lost, received: true }, lost]), [500, 500, 1000], "reset");
  assert.deepEqual(delays([{ code: 4001, received: true }, { code: 4001, received: true }]), [0, 500], "at once only once");
  assert.deepEqual(delays([{ code: 4001, progressed: true }, { code: 4001, progressed: true }]), [0, 0], "progress");
  assert.deepEqual(delays([{ code: 4002 }]), [0], "unauthorized with a callback");
  assert.deepEqual(delays([{ code: 4002 }], false), ["stop"], "unauthorized without a callback");
  assert.deepEqual(delays([{ code: 0, status: 401 }], false), ["stop"], "HTTP 401");
  assert.deepEqual(delays([{ code: 4003, attributed: true }, { code: 4003, attributed: true }]), [0, 500], "unknown ShareData");
  assert.deepEqual(delays([{ code: 4004 }]), ["stop"], "invalid message of nobody");
  assert.deepEqual(delays([{ code: 4004, attributed: true }]), [0], "invalid message of a call");
  assert.deepEqual(delays([{ code: 1008, progressed: true }, { code: 1008, progressed: true }]), [500, 1000], "policy violation");
  assert.deepEqual(delays([lost, { code: 1001, livedMs: 20_000 }]), [500, 500], "a stable connection");
  assert.deepEqual(delays([{ error: { permanent: true } }]), ["stop"], "permanent error of the callback");
});

// ---- Catching up ----

const hash = "0".repeat(64);
const state = (revision, fields = {}) => ({ type: "state", shareDataId: "x", cursor: `1-${revision}`, revision, lastTransactionId: null, replaying: 0, stateHash: hash, ...fields });
const transaction = (revision, fields = {}) => ({ type: "transaction", shareDataId: "x", transactionId: `1-${revision}`, accepted: true, revision, ...fields });
const types = ({ items }) => items.map(({ event }) => event.type);

function caughtUp(revision = 1) {
  const catchUp = new CatchUp("x");
  catchUp.begin({ known: false, cursor: "" });
  catchUp.receive(state(revision, { currentState: {} }));
  return catchUp;
}

test("a missing revision is a gap", () => {
  const step = caughtUp().receive(transaction(3, { patch: [] }));
  assert.deepEqual(types(step), ["gap"]);
  assert.equal(step.resubscribe, true);
});

test("a repeated revision is dropped", () => {
  const catchUp = caughtUp();
  assert.deepEqual(types(catchUp.receive(transaction(2, { patch: [] }))), ["transaction"]);
  assert.deepEqual(types(catchUp.receive(transaction(2, { patch: [] }))), []);
});

test("a replay that breaks off", () => {
  const catchUp = caughtUp();
  catchUp.begin(catchUp.position);
  assert.deepEqual(types(catchUp.receive(state(4, { resumed: true, replaying: 3 }))), ["state"]);
  assert.deepEqual(types(catchUp.receive(transaction(2, { replayed: true }))), ["transaction"]);
  assert.deepEqual(types(catchUp.cursorNotFound("trimmed")), ["gap"]);
  assert.deepEqual(types(catchUp.receive(state(4, { currentState: {} }))), ["state"]);
});

test("fewer replayed than announced", () => {
  const catchUp = caughtUp();
  catchUp.begin(catchUp.position);
  catchUp.receive(state(4, { resumed: true, replaying: 3 }));
  catchUp.receive(transaction(2, { replayed: true }));
  assert.deepEqual(types(catchUp.receive(transaction(5))), ["gap"]);
});

test("a state without a state", () => {
  const catchUp = new CatchUp("x");
  catchUp.begin({ known: false, cursor: "" });
  assert.deepEqual(catchUp.receive(state(4, { resumed: true })), { items: [], resubscribe: true, later: true });
});

test("conflated", () => {
  const catchUp = new CatchUp("x", { conflate: true });
  catchUp.begin({ known: false, cursor: "" });
  catchUp.receive(state(1, { currentState: {} }));
  const { items } = catchUp.receive(state(5, { currentState: { n: 5 }, skipped: 4 }));
  assert.deepEqual(items.map(({ event }) => [event.type, event.skipped]), [["state", 4]]);
});

// ---- The client, on sockets without a network ----

class FakeSocket {
  static sockets = [];
  sent = [];

  constructor(url) {
    this.url = new URL(url);
    FakeSocket.sockets.push(this);
  }

  static get last() { return FakeSocket.sockets.at(-1); }

  send(text) { this.sent.push(JSON.parse(text)); }

  close() { this.closed = true; }

  open() { this.onopen(); return this; }

  receive(...frames) { for (const frame of frames) this.onmessage?.({ data: JSON.stringify({ v: 1, ...frame }) }); }

  end(code, reason = "") { this.onclose?.({ code, reason }); }

  of(type) { return this.sent.filter((frame) => frame.type === type); }
}

const real = { WebSocket: globalThis.WebSocket, fetch: globalThis.fetch, setTimeout: globalThis.setTimeout, setImmediate };
let client;

beforeEach(() => {
  FakeSocket.sockets = [];
  globalThis.WebSocket = FakeSocket;
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
});

afterEach(() => {
  client?.close();
  client = undefined;
  mock.timers.reset();
  Object.assign(globalThis, { WebSocket: real.WebSocket, fetch: real.fetch });
});

// settle lets everything happen that needs no time.
const settle = async () => { for (let i = 0; i < 5; i++) await new Promise(real.setImmediate); };

async function advance(ms) {
  await settle();
  mock.timers.tick(ms);
  await settle();
}

async function opened(options = {}) {
  client = connect("ws://server/realtime", { transport: "websocket", backoff: { jitter: 0 }, ...options });
  await settle();
  return FakeSocket.last.open();
}

async function failure(promise) {
  const error = await promise.then((value) => assert.fail(`no error but ${JSON.stringify(value)}`), (error) => error);
  assert.ok(error instanceof SafeError, error.stack);
  return error;
}

const verdict = ({ correlationId }, transactionId = "1-2") => ({ type: "proposal-result", correlationId, accepted: true, transactionId });

test("a proposal in flight is sent again", async () => {
  const first = await opened();
  const promise = client.propose("x", "add", { by: 1 });
  first.end(1006);
  await advance(500);
  const second = FakeSocket.last.open();
  const [again] = second.of("propose");
  assert.deepEqual(again, first.of("propose")[0]);
  assert.match(again.idempotencyKey, /^[0-9a-f]{32}$/);
  second.receive(verdict(again));
  assert.deepEqual(await promise, { accepted: true, error: "", code: "", details: undefined, transactionId: "1-2", duplicate: false });
});

test("busy is repeated, a refusal is not", async () => {
  const socket = await opened();
  const promise = client.propose("x", "add");
  socket.receive({ type: "proposal-result", correlationId: "c-1", accepted: false, code: "busy", retryAfterMs: 1000 });
  await advance(900);
  assert.equal(socket.of("propose").length, 1, "before the time that the server asks for");
  await advance(200);
  assert.equal(socket.of("propose").length, 2);
  socket.receive({ type: "proposal-result", correlationId: "c-1", accepted: false, code: "unauthorized", error: "no" });
  const { code, shareDataId, idempotencyKey } = await failure(promise);
  assert.deepEqual({ code, shareDataId, idempotencyKey }, { code: "unauthorized", shareDataId: "x", idempotencyKey: socket.sent[0].idempotencyKey });
});

test("errors say what is known", async () => {
  const socket = await opened({ timeoutMs: 1000, queueSize: 1, maxInFlight: 1 });
  const sent = failure(client.propose("x", "add"));
  const waits = failure(client.propose("x", "add", null, { timeoutMs: 500 }));
  const full = await failure(client.propose("x", "add"));
  assert.equal(full.code, "queue-full");
  await advance(500);
  assert.equal((await waits).code, "timeout");
  await advance(500);
  assert.equal((await sent).code, "outcome-unknown");
  assert.equal((await sent).idempotencyKey, socket.sent[0].idempotencyKey);
  const abort = new AbortController();
  const aborted = failure(client.propose("x", "add", null, { signal: abort.signal }));
  abort.abort();
  assert.equal((await aborted).code, "outcome-unknown");
  assert.equal((await failure(client.propose("x", "add", null, { signal: abort.signal }))).code, "aborted");
  assert.equal((await failure(client.propose("x", "add", 1n))).code, "invalid-argument");
  assert.equal((await failure(client.propose("", "add"))).code, "invalid-argument");
});

test("calls wait while offline, in order", async () => {
  client = connect("ws://server/realtime", { transport: "websocket", queueSize: 2 });
  const calls = [client.propose("x", "a"), client.propose("x", "b")];
  assert.equal((await failure(client.propose("x", "c"))).code, "queue-full");
  const socket = FakeSocket.last.open();
  assert.deepEqual(socket.of("propose").map(({ functionId }) => functionId), ["a", "b"]);
  for (const frame of socket.of("propose")) socket.receive(verdict(frame));
  await Promise.all(calls);
});

test("one of several is invalid", async () => {
  const first = await opened();
  const calls = [client.propose("x", "good"), failure(client.propose("x", "bad"))];
  first.receive({ type: "error", code: "invalid-message", message: "?" });
  first.end(4004);
  await advance(0);
  const second = FakeSocket.last.open();
  assert.deepEqual(second.of("propose").map(({ functionId }) => functionId), ["good"], "one at a time");
  second.receive(verdict(second.sent[0]));
  assert.equal((await calls[0]).accepted, true);
  second.receive({ type: "error", code: "invalid-message", message: "?" });
  second.end(4004);
  assert.equal((await calls[1]).code, "outcome-unknown");
});

test("the token is asked for at every attempt", async () => {
  let n = 0;
  const first = await opened({ token: async () => `t${++n}` });
  assert.equal(first.url.searchParams.get("token"), "t1");
  first.end(4002, "expired");
  await advance(0);
  assert.equal(FakeSocket.last.url.searchParams.get("token"), "t2");
});

test("a token that does not come", async () => {
  client = connect("ws://server/realtime", { transport: "websocket", token: () => new Promise(() => {}), connectTimeoutMs: 1000 });
  await advance(1000);
  assert.equal(client.status.getSnapshot().error.code, "token");
});

test("a permanent error of the callback", async () => {
  client = connect("ws://server/realtime", { token: () => { throw Object.assign(new Error("signed out"), { permanent: true }); } });
  await settle();
  assert.equal(client.status.getSnapshot().state, "closed");
});

test("a throwing listener stops nothing", async () => {
  const reported = (globalThis.reportError = mock.fn());
  client = connect("ws://server/realtime", { transport: "websocket" });
  client.status.subscribe(({ state }) => { if (state === "open") throw new Error("of the page"); });
  await settle();
  client.subscribe("x");
  assert.equal(FakeSocket.last.open().of("subscribe").length, 1);
  assert.equal(reported.mock.calls[0].arguments[0].message, "of the page");
  delete globalThis.reportError;
});

test("a message that is no frame", async () => {
  const socket = await opened();
  socket.onmessage({ data: "{" });
  await settle();
  assert.equal(client.status.getSnapshot().state, "reconnecting");
});

test("a refused token stops the client", async () => {
  const socket = await opened({ token: "fixed" });
  const loop = failure(client.subscribe("x").next());
  socket.end(4002, "unauthorized");
  assert.equal((await loop).code, "unauthorized");
  assert.equal(client.status.getSnapshot().state, "closed");
  await advance(100_000);
  assert.equal(FakeSocket.sockets.length, 1);
});

test("heartbeat", async () => {
  const socket = await opened({ heartbeatMs: 1000 });
  await advance(1000);
  socket.receive({ type: "pong", correlationId: socket.of("ping")[0].correlationId });
  await advance(1000);
  assert.equal(client.status.getSnapshot().state, "open");
  await advance(1000);
  assert.equal(client.status.getSnapshot().state, "reconnecting");
  assert.equal(socket.closed, true);
});

test("a slow consumer pauses and resumes", async () => {
  const socket = await opened({ eventBuffer: 3 });
  const subscription = client.subscribe("x");
  socket.receive(state(1, { currentState: { n: 1 } }));
  for (let r = 2; r <= 50; r++) socket.receive(transaction(r, { patch: [{ op: "replace", path: "/n", value: r }] }));
  assert.equal(socket.of("unsubscribe").length, 1);
  for (const want of [1, 2, 3]) {
    assert.equal((await subscription.next()).value.currentState.n, want);
    assert.deepEqual(subscription.position, { since: `1-${want}`, state: { n: want } });
  }
  const again = socket.of("subscribe")[1];
  assert.deepEqual([again.since, again.includeState, again.patches], ["1-3", false, true]);
  subscription.close();
});

test("a cursor without its state", async () => {
  const socket = await opened();
  const subscription = client.subscribe("x", { since: "1-1" });
  assert.deepEqual([socket.sent[0].since, socket.sent[0].includeState], ["1-1", true]);
  const patch = (value) => [{ op: "replace", path: "/n", value }];
  socket.receive(state(3, { currentState: { n: 3 }, resumed: true, replaying: 2 }));
  for (const r of [2, 3]) socket.receive(transaction(r, { replayed: true, patch: patch(r) }));
  socket.receive(transaction(4, { patch: patch(4) }));
  for (const want of [{ n: 3 }, undefined, { n: 3 }, { n: 4 }]) assert.deepEqual((await subscription.next()).value.currentState, want);
  subscription.close();
});

test("a patch that does not fit", async () => {
  const socket = await opened();
  const subscription = client.subscribe("x");
  socket.receive(state(1, { currentState: {} }), transaction(2, { patch: [{ op: "remove", path: "/none" }] }));
  assert.equal((await subscription.next()).value.type, "state");
  assert.equal((await subscription.next()).value.type, "gap");
  assert.equal(socket.of("subscribe")[1].since, undefined);
});

test("leaving a loop unsubscribes", async () => {
  const socket = await opened();
  socket.receive = socket.receive.bind(socket);
  const subscription = client.subscribe("x");
  const second = await failure(client.subscribe("x").next());
  assert.equal(second.code, "already-subscribed");
  socket.receive(state(1, { currentState: {} }));
  for await (const event of subscription) {
    assert.equal(event.type, "state");
    break;
  }
  assert.equal(socket.of("unsubscribe").length, 1);
  assert.deepEqual(subscription.position, { since: "1-1", state: {} });
});

test("a refused subscribe ends with the code", async () => {
  const socket = await opened();
  const loop = failure(client.subscribe("x").next());
  socket.receive({ type: "error", code: "unknown-share-data", message: "none", shareDataId: "x" });
  assert.equal((await loop).code, "unknown-share-data");
});

test("a subscribe that cannot be served now", async () => {
  const socket = await opened();
  const subscription = client.subscribe("x");
  socket.receive({ type: "error", code: "unavailable", message: "later", shareDataId: "x", retryAfterMs: 3000 });
  await advance(2500);
  assert.equal(socket.of("subscribe").length, 1);
  await advance(2500);
  assert.equal(socket.of("subscribe").length, 2);
  subscription.close();
});

test("store", async () => {
  const socket = await opened();
  const store = client.store("x");
  assert.equal(client.store("x"), store);
  const { subscribe, getSnapshot } = store; // as React calls them
  const values = [];
  const stop = subscribe((value) => values.push(value));
  socket.receive(state(1, { currentState: { a: {}, n: 1 } }));
  await settle();
  const first = getSnapshot();
  socket.receive(transaction(2, { accepted: false }));
  await settle();
  assert.equal(getSnapshot(), first, "the same object while nothing changes");
  socket.receive(transaction(3, { patch: [{ op: "replace", path: "/n", value: 2 }] }));
  await settle();
  assert.deepEqual(values, [undefined, { a: {}, n: 1 }, { a: {}, n: 2 }]);
  assert.equal(getSnapshot().a, first.a);
  stop();
  assert.equal(socket.of("unsubscribe").length, 1);
  subscribe(() => {})();
  const again = subscribe(() => {});
  assert.equal(socket.of("subscribe").at(-1).since, "1-3", "it resumes");
  again();
});

test("the store of what is removed", async () => {
  const socket = await opened();
  const store = client.store("x");
  store.subscribe(() => {});
  socket.receive(state(1, { currentState: {} }), { type: "lifecycle", shareDataId: "x", event: "removed" });
  await settle();
  assert.equal(store.getSnapshot(), undefined);
  assert.equal(store.error.code, "removed");
});

test("close ends everything", async () => {
  const socket = await opened();
  const loop = failure(client.subscribe("x").next());
  const sent = failure(client.propose("x", "add"));
  client.close();
  client.close();
  assert.equal((await loop).code, "closed");
  assert.equal((await sent).code, "outcome-unknown");
  assert.equal((await failure(client.propose("x", "add"))).code, "closed");
  assert.equal(socket.closed, true);
});

// ---- Server-sent events and POST ----

// serve replaces fetch. streams are the open streams; posts what was posted.
function serve(post) {
  const streams = [];
  const posts = [];
  globalThis.fetch = async (url, { method = "GET", body, signal, headers }) => {
    if (method === "POST") {
      posts.push({ url, frame: JSON.parse(body), headers });
      return post(posts.at(-1).frame);
    }
    if (!url.searchParams.has("shareDataId")) return Response.json({ status: 400 }, { status: 400 });
    let send;
    const stream = new ReadableStream({
      start(controller) {
        send = (text) => controller.enqueue(new TextEncoder().encode(text));
        signal.addEventListener("abort", () => controller.error(signal.reason));
      },
    });
    streams.push({ url, headers, send: (...frames) => { for (const f of frames) send(`event: ${f.type}\nid: 1\ndata: ${JSON.stringify({ v: 1, ...f })}\n\n`); }, raw: (text) => send(text), signal });
    return new Response(stream, { headers: { "content-type": "text/event-stream" } });
  };
  return { streams, posts };
}

async function overSse(post, options = {}) {
  const served = serve(post);
  client = connect("http://server/realtime", { transport: "sse", backoff: { jitter: 0 }, ...options });
  await settle();
  return served;
}

test("sse", async () => {
  const { streams } = await overSse(null, { token: "t" });
  const x = client.subscribe("x");
  await settle();
  assert.equal(streams[0].url.href, "http://server/realtime?shareDataId=x&since=&patches=true");
  assert.equal(streams[0].headers.authorization, "Bearer t");
  const text = `: heartbeat\n\ndata: ${JSON.stringify(state(1, { currentState: { n: "é" } }))}\n\n`;
  const bytes = [...text];
  for (const part of [bytes.slice(0, 30), bytes.slice(30)]) streams[0].raw(part.join("")); // in the middle of an event
  assert.deepEqual((await x.next()).value.currentState, { n: "é" });
  const y = client.subscribe("y");
  await settle();
  assert.equal(streams[0].signal.aborted, true);
  assert.deepEqual(streams[1].url.searchParams.getAll("since"), ["1-1", ""], "the others resume");
  streams[1].send({ type: "error", code: "unauthorized-subscribe", message: "no", shareDataId: "y" });
  assert.equal((await failure(y.next())).code, "unauthorized-subscribe");
  streams[1].send(state(1, { resumed: true }), { type: "close", code: 4001, reason: "fell behind" });
  assert.equal((await x.next()).value.resumed, true);
  await advance(0);
  assert.equal(streams.length, 3, "4001 reconnects at once");
});

test("a posted result waits for its transaction", async () => {
  const { streams, posts } = await overSse((frame) => Response.json({ v: 1, ...verdict(frame, "1-2") }));
  const x = client.subscribe("x");
  await settle();
  streams[0].send(state(1, { currentState: {} }));
  let result;
  const promise = client.propose("x", "add").then((value) => { result = value; });
  await settle();
  assert.equal(posts[0].url.pathname, "/realtime/propose");
  assert.equal(result, undefined);
  streams[0].send(transaction(2, { patch: [] }));
  await promise;
  assert.equal(result.transactionId, "1-2");
  x.close();
});

test("a posted result waits as long as the call", async () => {
  const { streams } = await overSse((frame) => Response.json({ v: 1, ...verdict(frame, "1-2") }));
  client.subscribe("x");
  await settle();
  streams[0].send(state(1, { currentState: {} }));
  const promise = client.propose("x", "add", null, { timeoutMs: 1000 });
  await advance(1000);
  assert.equal((await promise).accepted, true);
});

test("problems of a POST", async () => {
  const problems = [{ code: "busy", status: 503 }, { code: "invalid-input", status: 422, detail: "no number", details: { pointer: "/by" } }];
  const { posts } = await overSse(() => { const p = problems.shift(); return Response.json(p, { status: p.status }); });
  const promise = failure(client.propose("x", "add"));
  await settle();
  await advance(200);
  const { code, details } = await promise;
  assert.deepEqual([code, details, posts.length], ["invalid-input", { pointer: "/by" }, 2]);
});

test("a lost POST is sent again", async () => {
  let lost = true;
  const { posts } = await overSse((frame) => {
    if (!lost) return Response.json({ v: 1, ...verdict(frame) });
    lost = false;
    throw new TypeError("network");
  });
  const promise = client.propose("x", "add");
  await settle();
  await advance(500);
  assert.equal((await promise).accepted, true);
  assert.equal(posts[0].frame.idempotencyKey, posts[1].frame.idempotencyKey);
});

test("auto falls back to sse", async () => {
  const { streams } = serve(null);
  client = connect("http://server/realtime", { backoff: { jitter: 0 } });
  client.subscribe("x");
  for (const delay of [500, 1000]) {
    FakeSocket.last.end(1006);
    await advance(delay);
  }
  assert.equal(FakeSocket.sockets.length, 2);
  assert.equal(streams.length, 1);
  assert.deepEqual(client.status.getSnapshot(), { state: "open", transport: "sse" });
});

test("auto stays with a WebSocket that opened", async () => {
  serve(null);
  const first = await opened({ transport: "auto" });
  first.end(1006);
  for (const delay of [500, 1000, 2000]) {
    await advance(delay);
    FakeSocket.last.end(1006);
    await settle();
  }
  assert.equal(FakeSocket.sockets.length, 4);
});

test("sse without a heartbeat is given up", async () => {
  const { streams } = await overSse(null, { heartbeatMs: 1000 });
  client.subscribe("x");
  await settle();
  streams[0].raw(": heartbeat\n\n");
  await settle();
  await advance(2900);
  assert.equal(client.status.getSnapshot().state, "open");
  await advance(200);
  assert.equal(client.status.getSnapshot().state, "reconnecting");
});
