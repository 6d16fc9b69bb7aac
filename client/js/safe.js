// Client of SAFE servers for browsers and Node 22: it keeps one connection, follows
// ShareData, proposes changes, and reconnects, catches up and repeats by itself.
//
//   import { connect } from "/safe.js";
//   const client = connect("/realtime");
//   for await (const event of client.subscribe("counter")) console.log(event.currentState);
//   const result = await client.propose("counter", "add", { by: 1 });
//
// What it promises, as the Go package client does:
//
// - Ordered, gapless, once. A loop over a subscription sees every revision after its
//   state event exactly once and in order, across any number of lost connections.
// - Resumed or a gap, never a guess. After a reconnect comes a state event that is
//   resumed, and then what was missed, or a gap event and then a state event.
// - A verdict, or an error that says what is known. propose sends a proposal again,
//   under one idempotency key, until there is a verdict or its time is up. Then the code
//   "outcome-unknown" says that it may have taken effect; any other says that it has not.
// - Bounded. Calls and events wait in bounded buffers. The subscription of a slow
//   consumer pauses, and catches up when the consumer is ready.
//
// States are parsed JSON and are computed from patches. Never change a state: the next
// one shares with it all parts that did not change. Revisions show a frame that is
// missing; the hashes of states that servers send are not compared, because a parsed
// state does not have the bytes of its text.
//
// The file has four parts: patches; what frames mean to a subscription (CatchUp); what
// follows the end of a connection (Reconnector); and the rest, which has sockets and
// timers.

/** SafeError is every error of this module; see its declaration for the codes. */
export class SafeError extends Error {
  constructor(code, message, fields = {}) {
    const { cause, ...others } = fields;
    super(message, cause === undefined ? undefined : { cause });
    this.name = "SafeError";
    this.code = code;
    Object.assign(this, others);
  }
}

// ---- Patches (RFC 6902: add, remove and replace) ----

/** applyPatch returns the state after the patch. It shares unchanged parts with the
 * state before, which it does not change. It throws where the patch does not fit. */
export function applyPatch(state, patch) {
  const fresh = new Set(); // containers made here, which may be changed in place
  for (const operation of patch) {
    const { path } = operation;
    if (path !== "" && path[0] !== "/") throw new SafeError("bad-patch", `not a JSON Pointer: ${path}`);
    const names = path.split("/").slice(1).map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
    state = applyOperation(state, names, 0, operation, fresh);
  }
  return state;
}

function applyOperation(node, names, depth, operation, fresh) {
  const { op, path, value } = operation;
  const fail = () => { throw new SafeError("bad-patch", `the patch does not fit the state: ${op} ${path}`); };
  if (op !== "add" && op !== "remove" && op !== "replace") fail();
  if (depth === names.length) return op === "remove" ? fail() : value;
  if (node === null || typeof node !== "object") fail();
  const list = Array.isArray(node);
  if (!fresh.has(node)) {
    node = list ? node.slice() : { ...node };
    fresh.add(node);
  }
  const name = names[depth];
  const last = depth === names.length - 1;
  const adds = last && op === "add";
  if (list) {
    const index = adds && name === "-" ? node.length : /^(0|[1-9][0-9]*)$/.test(name) ? Number(name) : fail();
    if (index >= node.length + (adds ? 1 : 0)) fail();
    if (!last) node[index] = applyOperation(node[index], names, depth + 1, operation, fresh);
    else if (op === "replace") node[index] = value;
    else node.splice(index, op === "add" ? 0 : 1, ...(op === "add" ? [value] : []));
    return node;
  }
  if (!adds && !Object.hasOwn(node, name)) fail();
  if (last && op === "remove") {
    delete node[name];
    return node;
  }
  const inner = last ? value : applyOperation(node[name], names, depth + 1, operation, fresh);
  // An assignment to the name "__proto__" would not make a member.
  Object.defineProperty(node, name, { value: inner, writable: true, enumerable: true, configurable: true });
  return node;
}

// ---- What the frames of one ShareData mean to its subscription ----

// A position is a point in a history as a client knows it. Here there is nothing to
// resume from. hasState says that the state at the cursor is known.
const nowhere = Object.freeze({ known: false, cursor: "", revision: 0, lastTransactionId: null, hasState: false });

// CatchUp decides, without socket or clock, which events the frames are, and whether a
// reconnect resumed or left a gap. A round begins with a subscribe and ends with the
// connection, an unsubscribe or the next subscribe. Its phases:
//
//   requested     -> state                    snapshot, resumed or a gap: live
//                                             resumed, frames follow:     replaying
//   replaying     -> last replayed frame      live
//                 -> replay-cursor-not-found  a gap after all:            awaitingState
//   awaitingState -> state                    snapshot:                   live
//
// An item is an event, how its state follows from that of the item before (effect), and
// the position after it. States are computed when an item is taken, so that items that
// wait hold what was received and not the states that it makes.
export class CatchUp {
  phase = "idle";

  constructor(shareDataId, { conflate = false } = {}) {
    this.shareDataId = shareDataId;
    this.conflate = conflate;
    this.stop();
  }

  begin(position) {
    this.phase = "requested";
    this.position = position;
    this.snapshot = null; // the state frame of the round
    this.remaining = 0; // replayed frames to come
  }

  stop() {
    this.begin(nowhere);
    this.phase = "idle";
  }

  /** receive applies a state, transaction or lifecycle frame. It returns a step: items;
   * removed; or resubscribe, if later is set after a while, because the server did not
   * send what it promised. */
  receive(frame) {
    if (frame.type === "state") return this.#state(frame);
    if (this.phase === "idle" || this.phase === "requested") return { items: [] };
    if (frame.event === "removed") {
      const items = [this.#item(eventOf(frame), { effect: "forget" }, nowhere)];
      this.stop();
      return { items, removed: true };
    }
    if (this.phase === "awaitingState") return frame.replayed ? { items: [] } : this.#broken("a frame came before the state");
    if (frame.replayed) return this.#replayed(frame);
    // Where fewer frames were replayed than announced, the revision shows it.
    this.phase = "live";
    return this.#deliver(frame);
  }

  /** cursorNotFound applies the error that says that a replay cannot go on. */
  cursorNotFound(message) {
    if (this.phase !== "replaying") return { items: [] };
    const items = [this.#gap(message)];
    this.phase = "awaitingState";
    this.position = nowhere;
    return { items };
  }

  #state(frame) {
    const { phase, position: from } = this;
    const skipped = frame.skipped ?? 0;
    if (phase === "idle" || (phase === "requested" && skipped > 0)) return { items: [] };
    const whole = frame.currentState !== undefined;
    const same = from.known && from.cursor === frame.cursor;
    const replays = from.known && !same && frame.replaying > 0 && (from.revision === 0 || from.revision < frame.revision);
    if (!whole && !(from.hasState && (same || replays))) return this.#broken("the server sent no state", true);
    const skips = this.conflate && skipped > 0 && whole && (phase === "replaying" || phase === "live") &&
      frame.revision === from.revision + skipped;
    const at = {
      known: true, cursor: frame.cursor, revision: frame.revision ?? 0,
      lastTransactionId: frame.lastTransactionId, hasState: whole || from.hasState,
    };
    this.snapshot = frame;
    this.remaining = 0;
    this.phase = "live";
    const set = { effect: "set", value: frame.currentState };
    if (!replays || skips) this.position = at;
    if (!from.known || skips) return { items: [this.#item(stateEvent(frame, at, { skipped: skips ? skipped : 0 }), set, at)] };
    if (same) return { items: [this.#item(stateEvent(frame, at, { resumed: true }), from.hasState ? { effect: "keep" } : set, at)] };
    if (!replays) return { items: [this.#gap("the server could not replay from the cursor", from), this.#item(stateEvent(frame, at), set, at)] };
    this.phase = "replaying";
    this.remaining = frame.replaying;
    // A state in the frame is the one after the replayed frames.
    const before = { ...from, revision: from.revision || frame.revision - frame.replaying };
    const event = stateEvent(frame, whole ? at : before, { resumed: true, replaying: frame.replaying });
    return { items: [this.#item(event, whole ? { effect: "keep", shown: frame.currentState } : { effect: "keep" }, from)] };
  }

  #replayed(frame) {
    const step = this.#deliver(frame);
    if (this.phase !== "replaying" || --this.remaining > 0) return step;
    this.phase = "live";
    const last = step.items.at(-1);
    const { snapshot, position } = this;
    if (!last || step.resubscribe || position.revision > snapshot.revision) return step;
    // No frames are sent for what is left between the last one and the snapshot.
    const { cursor, revision, lastTransactionId } = snapshot;
    const whole = !position.hasState && snapshot.currentState !== undefined;
    this.position = last.after = { known: true, cursor, revision, lastTransactionId, hasState: whole || position.hasState };
    if (whole) Object.assign(last, { effect: "set", value: snapshot.currentState });
    return step;
  }

  // deliver makes the frame's event, unless it was delivered before. A frame that does
  // not follow the one before ends the round.
  #deliver(frame) {
    const { position: before } = this;
    const cursor = frame.type === "transaction" ? frame.transactionId : frame.cursor;
    const { revision = 0 } = frame;
    if (revision && before.revision) {
      if (revision <= before.revision) return { items: [] };
      if (revision > before.revision + 1) return this.#broken(`revision ${revision} came after ${before.revision}`);
    } else if (cursor === before.cursor) return { items: [] };
    const change = this.#change(frame);
    this.position = {
      known: true, cursor, revision, hasState: change.effect !== "forget",
      lastTransactionId: frame.type === "transaction" ? cursor : before.lastTransactionId,
    };
    return { items: [this.#item(eventOf(frame), change, this.position)] };
  }

  // change says how the state after the frame follows from the one before.
  #change(frame) {
    if (frame.currentState !== undefined) return { effect: "set", value: frame.currentState };
    const patched = this.snapshot.stateHash !== undefined;
    // In a replay to a state in the state frame, the server may not know the changes.
    const unrecorded = this.phase === "replaying" && this.snapshot.currentState !== undefined &&
      frame.patch === undefined && frame.accepted !== false;
    if (!patched || !this.position.hasState || unrecorded) return { effect: "forget" };
    return frame.patch === undefined ? { effect: "keep" } : { effect: "patch", value: frame.patch };
  }

  #item(event, change, after) { return { event, ...change, after }; }

  #gap(reason, { cursor } = this.position) {
    const event = { type: "gap", shareDataId: this.shareDataId, cursor, reason };
    return this.#item(event, { effect: "forget" }, nowhere);
  }

  #broken(reason, later = false) {
    const items = this.position.known ? [this.#gap(reason)] : [];
    this.stop();
    return { items, resubscribe: true, later };
  }
}

function stateEvent(frame, at, { resumed = false, replaying = 0, skipped = 0 } = {}) {
  return {
    type: "state", shareDataId: frame.shareDataId, currentState: undefined, cursor: at.cursor, revision: at.revision,
    lastTransactionId: at.lastTransactionId, resumed, replaying, skipped,
  };
}

function eventOf({ v, stateHash, event, replayed = false, ...frame }) {
  if (frame.type === "lifecycle") frame.removed = event === "removed";
  return { ...frame, replayed, currentState: undefined };
}

// ---- What follows the end of a connection ----

class Backoff {
  constructor({ initialMs, maxMs, factor = 2, jitter }) {
    Object.assign(this, { initialMs, maxMs, factor, jitter, nextMs: initialMs });
  }

  reset() { this.nextMs = this.initialMs; }

  // next returns the next delay: at least what is asked for.
  next(atLeastMs = 0) {
    const delay = this.nextMs * (1 + this.jitter * (2 * Math.random() - 1));
    this.nextMs = Math.min(this.nextMs * this.factor, this.maxMs);
    return Math.max(delay, atLeastMs * (1 + this.jitter * Math.random()));
  }
}

// Reconnector decides, without socket or clock, what follows the end of a connection or
// of an attempt to make one:
//
//   4001 fell behind              reconnect at once
//   4002, HTTP 401 unauthorized   at once, with a token from the callback; without one stop
//   4003 unknown ShareData        at once, without the subscription that it is about
//   4004 invalid message,         at once, without the proposal that it is about; if none
//   1009 message too big          may be, 4004 stops for good
//   1008 policy violation         after a backoff that grows until a connection has lived
//                                 for ten seconds
//   anything else                 after a backoff
//
// "At once" is allowed once. Until a connection has made progress, the next attempt
// waits for its backoff, however the connection ended.
export class Reconnector {
  #backoff;
  #asksToken;
  #immediate = false;

  constructor(backoff, asksToken) {
    this.#backoff = new Backoff(backoff);
    this.#asksToken = asksToken;
  }

  next({ code, status, received, progressed, livedMs = 0, attributed, error }) {
    const stable = livedMs >= 10_000;
    const good = (received && code !== 4001) || progressed;
    if (stable || (good && code !== 1008)) this.#backoff.reset();
    if (stable || progressed) this.#immediate = false;
    const unauthorized = code === 4002 || status === 401;
    const stop = error?.permanent || (unauthorized && !this.#asksToken) || (code === 4004 && !attributed);
    if (stop) return { stop: true };
    const atOnce = unauthorized || code === 4001 || ((code === 4003 || code === 4004 || code === 1009) && attributed);
    if (atOnce && !this.#immediate) {
      this.#immediate = true;
      return { delayMs: 0 };
    }
    return { delayMs: this.#backoff.next() };
  }
}

// ---- Transports ----
//
// A transport is one connection. It calls handlers.opened once, handlers.frame for each
// frame, handlers.alive whenever anything was received, and handlers.closed once, with
// how it ended. After close() it calls nothing.

class WebSocketTransport {
  constructor(url, token, handlers) {
    const target = new URL(url);
    target.protocol = target.protocol.replace("http", "ws");
    if (token) target.searchParams.set("token", token); // Browsers cannot set a header.
    const socket = (this.socket = new WebSocket(target));
    socket.onopen = () => handlers.opened();
    socket.onmessage = ({ data }) => {
      let frame;
      try {
        frame = JSON.parse(data);
      } catch (error) {
        this.close();
        return handlers.closed({ reason: `the server sent what is no frame: ${error.message}` });
      }
      handlers.alive();
      handlers.frame(frame, data.length);
    };
    socket.onclose = ({ code, reason }) => handlers.closed({ code: code === 1006 || code === 1005 ? 0 : code, reason });
    socket.onerror = () => {}; // A close event follows and says as much.
  }

  send(text) { this.socket.send(text); }

  ping(id) { this.send(JSON.stringify({ v: 1, type: "ping", correlationId: id })); }

  close() {
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close(1000);
  }
}

// SseTransport receives over one stream of server-sent events and sends proposals as
// POST requests. A stream has its subscriptions in its URL: when they change, it is
// opened again, and each subscription resumes.
class SseTransport {
  #url;
  #headers;
  #handlers;
  #stream = null; // aborts the open stream
  #posts = new AbortController();
  #opened = false;
  #restarting = false;
  #idleMs;
  #idle; // timer that ends a stream on which not even a heartbeat comes

  constructor(url, token, handlers, { heartbeatMs }) {
    this.#idleMs = 3 * heartbeatMs;
    this.#url = new URL(url);
    this.#url.protocol = this.#url.protocol.replace("ws", "http");
    this.#headers = token ? { authorization: `Bearer ${token}` } : {};
    this.#handlers = handlers;
    this.restart();
  }

  // restart opens the stream for the present subscriptions.
  restart() {
    if (this.#restarting) return;
    this.#restarting = true;
    queueMicrotask(() => {
      this.#restarting = false;
      if (this.#posts.signal.aborted) return;
      this.#stream?.abort();
      const stream = (this.#stream = new AbortController());
      this.#read(stream).catch((error) => this.#ended(stream, { reason: error.message }));
    });
  }

  async #read(stream) {
    const { signal } = stream;
    const subscribes = this.#handlers.subscribes();
    this.#beat(stream);
    const target = new URL(this.#url);
    for (const frame of subscribes) target.searchParams.append("shareDataId", frame.shareDataId);
    for (const frame of subscribes) target.searchParams.append("since", frame.since ?? "");
    for (const flag of ["patches", "conflate", "activity", "includeState"]) {
      if (subscribes.some((frame) => frame[flag])) target.searchParams.set(flag, "true");
    }
    const response = await fetch(target, { signal, cache: "no-store", headers: { ...this.#headers, accept: "text/event-stream" } });
    // Without a subscription there is nothing to stream; any reply but a refusal of the
    // credential shows that the server can be reached.
    if (subscribes.length === 0 && response.status >= 400 && response.status < 500 && response.status !== 401) {
      await response.body?.cancel();
      clearTimeout(this.#idle);
      return this.#open();
    }
    if (!response.ok || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
      const problem = await problemOf(response);
      if (subscribes.length === 1 && problem?.code && (response.status === 403 || response.status === 404)) {
        clearTimeout(this.#idle);
        this.#open();
        this.#handlers.frame({ type: "error", code: problem.code, message: problem.detail ?? "", shareDataId: subscribes[0].shareDataId }, 0);
        return;
      }
      return this.#ended(stream, { status: response.status, reason: problem?.detail ?? `HTTP ${response.status}` });
    }
    this.#open();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (signal.aborted) return;
      if (done) return this.#ended(stream, { reason: "the stream ended" });
      this.#beat(stream);
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
        if (data === "") continue;
        const frame = JSON.parse(data);
        if (frame.type === "close") return this.#ended(stream, { code: frame.code, reason: frame.reason });
        this.#handlers.frame(frame, data.length);
        if (signal.aborted) return;
      }
    }
  }

  // beat gives the stream up if nothing comes for a while.
  #beat(stream) {
    clearTimeout(this.#idle);
    if (this.#idleMs > 0) this.#idle = setTimeout(() => this.#ended(stream, { reason: "no heartbeat" }), this.#idleMs);
  }

  #open() {
    if (this.#opened) return;
    this.#opened = true;
    this.#handlers.opened();
  }

  // ended ends the transport, unless the stream was replaced by another one.
  #ended(stream, end) {
    if (stream !== this.#stream || stream.signal.aborted) return;
    this.close();
    this.#handlers.closed(end);
  }

  async post(text, correlationId) {
    try {
      const target = new URL(this.#url);
      target.pathname = `${target.pathname.replace(/\/$/, "")}/propose`;
      const response = await fetch(target, {
        method: "POST", body: text, signal: this.#posts.signal,
        headers: { ...this.#headers, "content-type": "application/json" },
      });
      if (response.ok) return this.#handlers.frame(await response.json(), 0);
      const problem = await problemOf(response);
      if (response.status === 401 || !problem?.code) throw Object.assign(new Error(`HTTP ${response.status}`), { status: response.status });
      this.#handlers.frame({
        type: "proposal-result", correlationId, accepted: false, code: problem.code, error: problem.detail,
        details: problem.details, retryAfterMs: problem.retryAfterMs,
      }, 0);
    } catch (error) {
      this.#ended(this.#stream, { status: error.status, reason: `proposing: ${error.message}` });
    }
  }

  close() {
    clearTimeout(this.#idle);
    this.#stream?.abort();
    this.#posts.abort();
  }
}

async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return null; // Not from a server of this protocol, such as a proxy's page.
  }
}

// ---- Calls ----

const temporaryCodes = new Set(["unavailable", "busy", "outcome-unknown", "shutting-down", "rate-limited"]);

// Call is a proposal until it has its outcome. It may take several attempts.
class Call {
  sentOn = null; // the connection of an attempt that is not answered
  ambiguous = false; // an earlier attempt may have taken effect
  refusal = null; // the last reply without a verdict
  held = null; // a verdict that waits for the own subscription
  timers = [];

  constructor(fields, text) {
    this.fields = fields;
    this.text = text;
    this.promise = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
  }

  // failure is the error of a call without a verdict. The cause says why there is no
  // further attempt; it is null where the refusal is final.
  failure(cause) {
    const { shareDataId, functionId, idempotencyKey } = this.fields;
    const fields = { shareDataId, functionId, idempotencyKey, ...(cause && { cause }) };
    const { refusal } = this;
    if (this.ambiguous || this.sentOn) {
      return new SafeError("outcome-unknown", `the outcome of the proposal is unknown: ${cause?.message ?? refusal?.error}`, fields);
    }
    if (!refusal) return new SafeError(cause.code, `the proposal was never sent: ${cause.message}`, fields);
    const { code, error, details, retryAfterMs } = refusal;
    return new SafeError(code, `the proposal was refused: ${code}: ${error ?? ""}`, {
      ...fields, details, retryAfterMs, temporary: temporaryCodes.has(code),
    });
  }
}

// CallQueue keeps the calls in the order in which they are sent.
class CallQueue {
  inFlight = [];
  waiting = [];
  retrying = []; // refused for now
  held = []; // have a verdict that waits; see Client

  add(call, { queueSize, maxInFlight }, connected) {
    const delayed = this.waiting.length + this.retrying.length;
    const sendable = connected && this.waiting.length === 0 && this.inFlight.length < maxInFlight;
    if ((!sendable && delayed >= queueSize) || delayed + this.inFlight.length - maxInFlight >= queueSize) return false;
    this.waiting.push(call);
    return true;
  }

  // next moves the call that has waited longest in flight, if one may be sent.
  next(maxInFlight) {
    if (this.waiting.length === 0 || this.inFlight.length >= maxInFlight) return null;
    const call = this.waiting.shift();
    this.inFlight.push(call);
    return call;
  }

  find(id, connection) {
    return this.inFlight.find((call) => call.fields.correlationId === id && call.sentOn === connection);
  }

  remove(call) {
    for (const list of [this.inFlight, this.waiting, this.retrying, this.held]) {
      const i = list.indexOf(call);
      if (i >= 0) return list.splice(i, 1);
    }
    return null;
  }

  all() { return [...this.inFlight, ...this.waiting, ...this.retrying, ...this.held]; }
}

// ---- Subscriptions ----

/** Subscription delivers the events of one ShareData, in order, each once. */
class Subscription {
  #client;
  #buffer = []; // items that the consumer has not taken, oldest first
  #size = 0; // of the buffer, in characters
  #delivered; // the position after what the consumer has taken
  #state; // the state there
  #waiting = []; // wakes calls of next
  #ended = false;
  #error = null;
  // For the client: paused says that the buffer was full.
  paused = false;
  retry = null; // the timer of a delayed subscribe
  retryBackoff = null;
  recent = new Set(); // the transactions received last, for verdicts that wait

  constructor(client, shareDataId, options) {
    this.#client = client;
    this.shareDataId = shareDataId;
    this.options = options;
    this.catchUp = new CatchUp(shareDataId, options);
    const cursor = options.since ?? "";
    const hasState = cursor !== "" && options.state !== undefined;
    this.#delivered = cursor === "" ? nowhere : { ...nowhere, known: true, cursor, hasState };
    this.#state = hasState ? options.state : undefined;
  }

  /** cursor is the position after the last event that was taken; empty for none. */
  get cursor() { return this.#delivered.cursor; }

  /** position is the cursor and the state there, from which subscribe continues. */
  get position() { return { since: this.#delivered.cursor, state: this.#delivered.hasState ? this.#state : undefined }; }

  [Symbol.asyncIterator]() { return this; }

  async next() {
    for (;;) {
      if (this.#buffer.length > 0) {
        const event = this.#take();
        if (event) return { done: false, value: event };
      } else if (this.#ended) {
        if (this.#error) throw this.#error;
        return { done: true, value: undefined };
      } else {
        await new Promise((wake) => this.#waiting.push(wake));
      }
    }
  }

  async return() {
    this.close();
    return { done: true, value: undefined };
  }

  /** close unsubscribes. Events that were not taken are dropped. */
  close() {
    this.#drop();
    this.#client.closeSubscription(this);
  }

  // The rest is for the client.

  get isEnded() { return this.#ended; }

  // received is the position after everything that was received.
  get received() { return this.#buffer.at(-1)?.after ?? this.#delivered; }

  // push buffers an item. It returns false if the buffer is full, unless force is set.
  push(item, size, force) {
    const { eventBuffer, eventBufferChars } = this.#client.options;
    const full = this.#buffer.length >= eventBuffer || this.#size + size > eventBufferChars;
    if (full && this.#buffer.length > 0 && !force) return false;
    item.size = size;
    this.#buffer.push(item);
    this.#size += size;
    this.#wake();
    return true;
  }

  end(error = null) {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.paused = false;
    clearTimeout(this.retry);
    this.catchUp.stop();
    this.#wake();
  }

  #take() {
    const item = this.#buffer[0];
    let state;
    try {
      state = item.effect === "patch" ? applyPatch(this.#state, item.value) : item.effect === "set" ? item.value : this.#state;
    } catch (error) {
      this.#reject(error);
      return null;
    }
    this.#buffer.shift();
    this.#size -= item.size;
    this.#delivered = item.after;
    this.#state = item.effect === "forget" ? undefined : state;
    const { event } = item;
    event.currentState = "shown" in item ? item.shown : this.#state;
    if (this.#buffer.length === 0 && this.paused) {
      this.paused = false;
      this.#client.resubscribe(this);
    }
    return event;
  }

  // reject begins again with the whole state, because a patch does not fit the state.
  #reject(error) {
    const removal = this.#buffer.findLast((item) => item.event.removed);
    const { cursor, known } = this.#delivered;
    this.#drop();
    const gap = { event: { type: "gap", shareDataId: this.shareDataId, cursor, reason: error.message }, effect: "forget", after: nowhere };
    if (known) this.push(gap, 0, true);
    if (removal) this.push(removal, 0, true);
    else this.#client.resubscribe(this, true);
  }

  #drop() {
    this.#buffer = [];
    this.#size = 0;
  }

  #wake() { for (const wake of this.#waiting.splice(0)) wake(); }
}

// ---- Stores ----

// Value has a value and tells listeners when it changes. Its methods may be passed on
// without it. A listener is also called at once, as Svelte wants.
class Value {
  #value;
  #listeners = new Set();

  constructor(value) { this.#value = value; }

  getSnapshot = () => this.#value;

  subscribe = (listener) => {
    const own = (value) => listener(value); // The same listener may subscribe twice.
    this.#listeners.add(own);
    listener(this.#value);
    return () => this.#listeners.delete(own);
  };

  get isObserved() { return this.#listeners.size > 0; }

  set(value) {
    this.#value = value;
    for (const listener of [...this.#listeners]) {
      try {
        listener(value);
      } catch (error) {
        (globalThis.reportError ?? console.error)(error); // It must not stop the client.
      }
    }
  }
}

/** Store is the current state of one ShareData, for user interfaces. */
class Store {
  #client;
  #id;
  #value = new Value(undefined);
  #subscription = null;
  #position = {};

  /** error is why the state is not followed any more; null while it is. */
  error = null;

  constructor(client, id) {
    this.#client = client;
    this.#id = id;
  }

  /** getSnapshot returns the state; undefined before the first and after a removal. */
  getSnapshot = () => this.#value.getSnapshot();

  /** subscribe calls the listener with the state now and at each change, until the
   * function that it returns is called. The first listener subscribes, the last one
   * to go unsubscribes; the state stays. */
  subscribe = (listener) => {
    const forget = this.#value.subscribe(listener);
    if (!this.#subscription) this.#follow();
    return () => {
      forget();
      if (this.#value.isObserved || !this.#subscription) return;
      this.#position = this.#subscription.position;
      this.#subscription.close();
      this.#subscription = null;
    };
  };

  async #follow() {
    const subscription = (this.#subscription = this.#client.subscribe(this.#id, this.#position));
    this.#position = {};
    this.error = null;
    try {
      for await (const event of subscription) {
        const { type, removed, currentState } = event;
        if (removed) throw new SafeError("removed", "the ShareData was removed", { shareDataId: this.#id });
        if (type !== "gap" && currentState !== this.getSnapshot()) this.#value.set(currentState);
      }
    } catch (error) {
      if (this.#subscription !== subscription) return;
      this.#subscription = null;
      this.error = error;
      this.#value.set(error.code === "removed" ? undefined : this.getSnapshot());
    }
  }
}

// ---- Connections ----

// Connection applies the frames of one transport to the client's subscriptions and calls.
class Connection {
  #client;
  #transport;
  #end; // resolves ended
  #requests = new Map(); // unanswered subscribes by ShareData id: { subscription, outdated }
  #lastError = null;
  #attributed = false; // the cause of the last error is known and is not sent again
  #received = false;
  #progressed = false;
  #openedAt = 0;
  isOpen = false;
  #connectTimer;
  #heartbeat;
  #aliveAt = 0;
  #pinged = 0; // when

  constructor(client, Transport, token) {
    const { connectTimeoutMs, heartbeatMs } = client.options;
    this.#client = client;
    this.ended = new Promise((resolve) => { this.#end = resolve; });
    this.isSse = Transport === SseTransport;
    this.#connectTimer = setTimeout(() => this.close({ reason: "no connection in time" }), connectTimeoutMs);
    const handlers = {
      opened: () => this.#opened(heartbeatMs),
      subscribes: () => this.#subscribeFrames(),
      alive: () => { this.#aliveAt = Date.now(); },
      frame: (frame, size) => this.#receive(frame, size),
      closed: (end) => this.#closed(end),
    };
    try {
      this.#transport = new Transport(client.url, token, handlers, client.options);
    } catch (error) {
      this.#closed({ reason: error.message });
    }
  }

  // close ends the connection on this side.
  close(end) {
    this.#transport?.close();
    this.#closed(end);
  }

  #opened(heartbeatMs) {
    clearTimeout(this.#connectTimer);
    this.isOpen = true;
    this.#openedAt = Date.now();
    if (!this.isSse) {
      for (const frame of this.#subscribeFrames()) this.#transport.send(JSON.stringify(frame));
      if (heartbeatMs > 0) this.#heartbeat = setInterval(() => this.#beat(heartbeatMs), heartbeatMs);
    }
    this.#client.onOpen(this);
  }

  // beat gives the connection up when nothing was received since the last ping.
  #beat(intervalMs) {
    if (this.#aliveAt < this.#pinged) return this.close({ reason: `no answer to a ping within ${intervalMs} ms` });
    this.#pinged = Date.now();
    this.#transport.ping(this.#client.nextId());
  }

  // closed resolves ended with how the connection ended, and fails what it was closed for.
  #closed(end) {
    clearTimeout(this.#connectTimer);
    clearInterval(this.#heartbeat);
    if (this.#end === null) return;
    const { code = 0, reason = "", status = 0 } = end;
    const kind = code === 4002 || status === 401 ? "unauthorized" : "disconnected";
    const error = new SafeError(kind, code ? `connection closed by the server: ${code} ${reason}` : `no connection: ${reason}`, { closeCode: code, status });
    const attributed = this.#attribute(code, error);
    for (const call of this.#client.calls.inFlight) {
      if (call.sentOn === this) Object.assign(call, { ambiguous: true, sentOn: null });
    }
    this.#end({
      code, status, error, attributed, opened: this.isOpen, received: this.#received, progressed: this.#progressed,
      livedMs: this.isOpen ? Date.now() - this.#openedAt : 0,
    });
    this.#end = null;
  }

  // attribute fails the proposal for which the server closed the connection. If it may be
  // one of several, proposals are sent one at a time from now on.
  #attribute(code, error) {
    const { calls } = this.#client;
    const report = { 4003: "unknown-share-data", 4004: "invalid-message" }[code]; // the error frame before
    if (report && this.#lastError?.code === report && this.#attributed) return true;
    if (code !== 4004 && code !== 1009) return false;
    const sent = calls.inFlight.filter((call) => call.sentOn === this);
    if (sent.length === 0) return false;
    let [cause] = sent;
    if (code === 1009) {
      cause = sent.reduce((largest, call) => (call.text.length > largest.text.length ? call : largest));
    } else if (sent.length > 1) {
      this.#client.oneAtATime = true; // Which one it is shows when it is alone.
      return true;
    }
    this.#client.refuse(cause, { code: code === 1009 ? "message-too-big" : "invalid-message", error: error.message });
    return true;
  }

  // ---- sending ----

  propose(call) {
    call.sentOn = this;
    if (this.isSse) this.#transport.post(call.text, call.fields.correlationId);
    else this.#transport.send(call.text);
  }

  // subscribe begins a round. While a subscribe to the ShareData is open it does
  // nothing: the answer to the open one calls it again.
  subscribe(subscription) {
    if (this.isSse) this.#transport.restart();
    else if (!this.#requests.has(subscription.shareDataId)) this.#transport.send(JSON.stringify(this.#subscribeFrame(subscription)));
  }

  unsubscribe(shareDataId) {
    if (this.isSse) this.#transport.restart();
    else if (!this.#requests.has(shareDataId)) this.#transport.send(JSON.stringify({ v: 1, type: "unsubscribe", shareDataId }));
  }

  // resubscribe begins another round of a subscription that has one.
  resubscribe(subscription) {
    const request = this.#requests.get(subscription.shareDataId);
    if (request && !this.isSse) {
      request.outdated = true;
      return;
    }
    this.unsubscribe(subscription.shareDataId);
    this.subscribe(subscription);
  }

  #subscribeFrame(subscription) {
    const { shareDataId, options: { conflate, activity } } = subscription;
    const from = subscription.received;
    subscription.catchUp.begin(from);
    clearTimeout(subscription.retry);
    subscription.retry = null;
    this.#requests.set(shareDataId, { subscription, outdated: false });
    return {
      v: 1, type: "subscribe", shareDataId, replayLifecycle: true, keepConnection: true, patches: true,
      ...(from.cursor && { since: from.cursor, includeState: !from.hasState }),
      ...(conflate && { conflate }), ...(activity && { activity }),
    };
  }

  #subscribeFrames() {
    this.#requests.clear();
    return this.#client.active().map((subscription) => this.#subscribeFrame(subscription));
  }

  // ---- receiving ----

  #receive(frame, size) {
    this.#received = true;
    switch (frame.type) {
      case "state": case "transaction": case "lifecycle": return this.#eventFrame(frame, size);
      case "proposal-result": return this.#result(frame);
      case "error": return this.#error(frame);
      // Pongs only show that the server is there; frames of unknown types are ignored.
    }
  }

  #eventFrame(frame, size) {
    const { shareDataId } = frame;
    // Before the answer to a subscribe, frames belong to an earlier subscription.
    if (this.#requests.has(shareDataId) && frame.type !== "state") return;
    const subscription = this.#answered(shareDataId);
    if (!subscription) return;
    subscription.retryBackoff = null;
    this.#apply(subscription, subscription.catchUp.receive(frame), size);
  }

  // answered removes the open subscribe and returns the subscription that the answer is
  // for, or null if that is closed or outdated; then it subscribes again where needed.
  #answered(shareDataId) {
    const subscription = this.#client.subscriptions.get(shareDataId) ?? null;
    const request = this.#requests.get(shareDataId);
    this.#requests.delete(shareDataId);
    if (!request || (request.subscription === subscription && !request.outdated)) return subscription;
    this.unsubscribe(shareDataId);
    if (subscription) this.subscribe(subscription);
    return null;
  }

  // apply does what the catch-up of a subscription decided.
  #apply(subscription, { items, removed, resubscribe, later }, size) {
    for (const item of items) {
      if (!subscription.push(item, size, removed)) {
        subscription.paused = true;
        subscription.catchUp.stop();
        this.unsubscribe(subscription.shareDataId);
        this.#client.releaseHeld(subscription);
        return;
      }
      if (item.after.known) this.#progressed = true;
      this.#client.onReceived(subscription, item);
    }
    if (removed) this.#client.endSubscription(subscription, null);
    else if (resubscribe) {
      this.unsubscribe(subscription.shareDataId);
      if (later) this.#delay(subscription, 0);
      else this.subscribe(subscription);
    }
  }

  // delay repeats, after a backoff, a subscribe that the server cannot serve now.
  #delay(subscription, atLeastMs) {
    const { backoff } = this.#client.options;
    subscription.catchUp.stop();
    subscription.retryBackoff ??= new Backoff({ ...backoff, initialMs: Math.max(backoff.initialMs, 1000) });
    subscription.retry = setTimeout(() => {
      subscription.retry = null;
      this.#client.resubscribe(subscription);
    }, subscription.retryBackoff.next(atLeastMs));
  }

  #result(frame) {
    const call = this.#client.calls.find(frame.correlationId, this);
    if (!call) return;
    this.#progressed = true;
    if (frame.accepted || frame.transactionId) this.#client.complete(call, frame, this.isSse);
    else this.#client.refuse(call, frame);
  }

  #error(frame) {
    this.#lastError = frame;
    this.#attributed = false;
    const { code, message, shareDataId, retryAfterMs } = frame;
    const call = this.#client.calls.find(frame.correlationId, this);
    const subscription = this.#client.subscriptions.get(shareDataId);
    if (call) {
      this.#attributed = true;
      this.#client.refuse(call, { code, error: message, retryAfterMs });
    } else if (code === "replay-cursor-not-found") {
      if (subscription && !this.#requests.has(shareDataId)) this.#apply(subscription, subscription.catchUp.cursorNotFound(message), 0);
    } else if (code === "invalid-message" || !shareDataId) {
      // The connection is about to be closed for it, or it is about nothing of ours.
    } else if (temporaryCodes.has(code) || code === "internal-error") {
      const delayed = subscription?.paused || subscription?.retry;
      if (!delayed && this.#answered(shareDataId)) this.#delay(subscription, retryAfterMs);
    } else {
      this.#attributed = true;
      const refused = this.#answered(shareDataId);
      if (refused) this.#client.endSubscription(refused, new SafeError(code, `${code}: ${message}`, { shareDataId, retryAfterMs }));
    }
  }
}

// ---- The client ----

const defaults = {
  transport: "auto",
  token: null,
  connectTimeoutMs: 15_000,
  heartbeatMs: 30_000,
  timeoutMs: 30_000,
  queueSize: 100,
  maxInFlight: 32,
  eventBuffer: 1024,
  eventBufferChars: 16 << 20,
};

// fallbackAfter is how many attempts to open the first WebSocket fail before the others
// use server-sent events in turn.
const fallbackAfter = 2;

// duplicateHoldMs bounds how long the verdict on a repeated proposal waits for its
// transaction, which the subscription may have received long ago.
const duplicateHoldMs = 1000;

/** Client keeps one connection to a server. */
class Client {
  /** status is the state of the connection, with subscribe and getSnapshot. */
  status = new Value({ state: "connecting", attempt: 1 });

  #connection = null;
  #stopped = null; // why
  #lost = null; // how the last connection ended
  #stores = new Map();
  #ids = 0;
  #skipDelay = () => {};
  #online = () => this.#skipDelay();

  // For connections and subscriptions of this module.
  subscriptions = new Map(); // the live ones by ShareData id
  calls = new CallQueue();
  oneAtATime = false;

  constructor(url, options) {
    try {
      this.url = new URL(url, globalThis.location?.href);
    } catch (error) {
      throw invalid(error.message);
    }
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
    this.options = { ...defaults, ...given, backoff: { initialMs: 500, maxMs: 30_000, factor: 2, jitter: 0.2, ...given.backoff } };
    if (!["auto", "websocket", "sse"].includes(this.options.transport)) throw invalid("transport is auto, websocket or sse");
    globalThis.addEventListener?.("online", this.#online);
    this.#run();
  }

  /** subscribe returns the events of the ShareData as an async iterable. */
  subscribe(shareDataId, options = {}) {
    if (typeof shareDataId !== "string" || shareDataId === "") throw invalid("a ShareData id is a text and not empty");
    if (options.state !== undefined && !options.since) throw invalid("state needs since");
    const subscription = new Subscription(this, shareDataId, options);
    if (this.#stopped) subscription.end(this.#stopped);
    else if (this.subscriptions.has(shareDataId)) {
      subscription.end(new SafeError("already-subscribed", "the client has a live subscription to this ShareData; share a store", { shareDataId }));
    } else {
      this.subscriptions.set(shareDataId, subscription);
      if (this.#connection?.isOpen) this.#connection.subscribe(subscription);
      options.signal?.addEventListener("abort", () => subscription.close(), { once: true });
      if (options.signal?.aborted) subscription.close();
    }
    return subscription;
  }

  /** store returns the store of the ShareData, always the same one. */
  store(shareDataId) {
    if (!this.#stores.has(shareDataId)) this.#stores.set(shareDataId, new Store(this, shareDataId));
    return this.#stores.get(shareDataId);
  }

  /** propose proposes data to a function and resolves with the verdict. */
  propose(shareDataId, functionId, data, options = {}) {
    const { idempotencyKey = newKey(), proof, timeoutMs = this.options.timeoutMs, signal } = options;
    const fields = {
      v: 1, type: "propose", shareDataId, functionId, proposedData: data === undefined ? null : data,
      correlationId: this.nextId(), idempotencyKey, proof,
    };
    let call;
    try {
      if (![shareDataId, functionId, idempotencyKey].every((text) => typeof text === "string" && text !== "")) {
        throw invalid("ShareData id, function id and idempotency key are texts and not empty");
      }
      call = new Call(fields, JSON.stringify(fields));
    } catch (error) {
      return Promise.reject(error instanceof SafeError ? error : invalid(error.message));
    }
    fields.proposedData = fields.proof = undefined; // The text has them.
    const aborted = () => this.#abandon(call, new SafeError("aborted", "the call was aborted", { cause: signal.reason }));
    if (this.#stopped) call.reject(call.failure(this.#stopped));
    else if (signal?.aborted) aborted();
    else if (!this.calls.add(call, this.options, this.#connection?.isOpen)) {
      call.reject(call.failure(new SafeError("queue-full", "too many calls wait to be sent")));
    } else {
      signal?.addEventListener("abort", aborted, { once: true });
      if (timeoutMs > 0) call.timers.push(setTimeout(() => this.#abandon(call, new SafeError("timeout", "no answer in time", this.#lost ? { cause: this.#lost } : {})), timeoutMs));
      this.#sendWaiting();
    }
    return call.promise.finally(() => {
      call.timers.forEach(clearTimeout);
      signal?.removeEventListener("abort", aborted);
    });
  }

  /** close ends the client: calls fail and loops end with the code "closed". */
  close() {
    for (const subscription of [...this.subscriptions.values()]) subscription.close();
    this.#stop(new SafeError("closed", "the client was closed"));
  }

  // ---- for connections and subscriptions ----

  nextId() { return `c-${++this.#ids}`; }

  // active returns the subscriptions that want events now.
  active() { return [...this.subscriptions.values()].filter(({ paused, retry }) => !paused && !retry); }

  onOpen(connection) {
    this.status.set({ state: "open", transport: connection.isSse ? "sse" : "websocket" });
    const again = this.calls.inFlight.splice(0);
    this.calls.waiting.unshift(...again);
    this.#sendWaiting();
  }

  closeSubscription(subscription) {
    if (this.subscriptions.get(subscription.shareDataId) === subscription) {
      this.subscriptions.delete(subscription.shareDataId);
      if (this.#connection?.isOpen && !subscription.paused) this.#connection.unsubscribe(subscription.shareDataId);
      this.releaseHeld(subscription);
    }
    subscription.end(new SafeError("closed", "the subscription was closed", { shareDataId: subscription.shareDataId }));
  }

  endSubscription(subscription, error) {
    this.subscriptions.delete(subscription.shareDataId);
    this.releaseHeld(subscription);
    subscription.end(error);
  }

  // resubscribe begins another round; live says that one is going on.
  resubscribe(subscription, live = false) {
    if (!this.#connection?.isOpen || subscription.isEnded) return;
    if (live && !subscription.paused && !subscription.retry) this.#connection.resubscribe(subscription);
    else {
      subscription.paused = false;
      this.#connection.subscribe(subscription);
    }
  }

  // complete gives a call its verdict. One that came as the reply to a POST waits until
  // the own subscription has received its transaction, or has ended.
  complete(call, frame, isSse) {
    const { accepted, error = "", details, transactionId = "", duplicate = false } = frame;
    const result = { accepted, error, code: accepted ? "" : frame.code || "rejected", details, transactionId, duplicate };
    const subscription = this.subscriptions.get(call.fields.shareDataId);
    this.calls.remove(call);
    call.sentOn = null;
    if (!isSse || !subscription || subscription.paused || subscription.retry || subscription.recent.has(transactionId)) {
      call.resolve(result);
    } else {
      call.held = result;
      this.calls.held.push(call);
      if (duplicate) call.timers.push(setTimeout(() => this.#release(call), duplicateHoldMs));
    }
    this.#sendWaiting();
  }

  // refuse applies a reply without a verdict: the call fails, or is sent again later.
  refuse(call, reply) {
    const code = reply.code || "unspecified";
    this.calls.remove(call);
    Object.assign(call, { refusal: { ...reply, code }, sentOn: null, ambiguous: call.ambiguous || code === "outcome-unknown" });
    if (!temporaryCodes.has(code)) call.reject(call.failure(null));
    else {
      this.calls.retrying.push(call);
      call.delays ??= new Backoff({ initialMs: 100, maxMs: 5000, jitter: this.options.backoff.jitter });
      call.timers.push(setTimeout(() => {
        if (!this.calls.retrying.includes(call)) return;
        this.calls.remove(call);
        this.calls.waiting.push(call);
        this.#sendWaiting();
      }, call.delays.next(reply.retryAfterMs)));
    }
    this.#sendWaiting();
  }

  onReceived(subscription, { event }) {
    const { type, transactionId, resumed } = event;
    if (type === "state" && !resumed) this.releaseHeld(subscription);
    if (type !== "transaction") return;
    const { recent } = subscription;
    recent.add(transactionId);
    if (recent.size > 1024) recent.delete(recent.values().next().value);
    for (const call of this.calls.held.filter(({ held }) => held.transactionId === transactionId)) this.#release(call);
  }

  // releaseHeld hands out the verdicts that wait for the subscription.
  releaseHeld({ shareDataId }) {
    for (const call of this.calls.held.filter(({ fields }) => fields.shareDataId === shareDataId)) this.#release(call);
  }

  // ---- internal ----

  #release(call) {
    if (this.calls.remove(call)) call.resolve(call.held);
  }

  #abandon(call, cause) {
    if (call.held) return this.#release(call);
    this.calls.remove(call);
    call.reject(call.failure(cause));
    this.#sendWaiting();
  }

  #sendWaiting() {
    const connection = this.#connection;
    if (this.#stopped || !connection?.isOpen) return;
    // The order of sending is that of the calls, which requests at the same time would lose.
    const limit = connection.isSse || this.oneAtATime ? 1 : this.options.maxInFlight;
    for (let call = this.calls.next(limit); call; call = this.calls.next(limit)) connection.propose(call);
  }

  #stop(error) {
    if (this.#stopped) return;
    this.#stopped = error;
    globalThis.removeEventListener?.("online", this.#online);
    for (const call of this.calls.all()) this.#abandon(call, error);
    for (const subscription of [...this.subscriptions.values()]) this.endSubscription(subscription, error);
    this.#connection?.close({ reason: error.message });
    this.#skipDelay();
    this.status.set({ state: "closed", error });
  }

  // run makes connections, one after the other, until the client stops.
  async #run() {
    const { token, backoff, transport } = this.options;
    const reconnector = new Reconnector(backoff, typeof token === "function");
    let failed = 0; // attempts since the last connection
    let sse = transport === "sse";
    let webSocketOpened = false;
    while (!this.#stopped) {
      const end = await this.#connect(sse ? SseTransport : WebSocketTransport);
      if (this.#stopped) return;
      this.#lost = end.error;
      failed = end.opened ? 0 : failed + 1;
      webSocketOpened ||= end.opened && !sse;
      if (transport === "auto" && !webSocketOpened && failed >= fallbackAfter) sse = !sse;
      const next = reconnector.next(end);
      if (next.stop) return this.#stop(end.error);
      this.status.set({ state: "reconnecting", attempt: failed + 1, delayMs: next.delayMs, error: end.error });
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, next.delayMs);
        this.#skipDelay = () => { clearTimeout(timer); resolve(); };
      });
    }
  }

  // connect makes a connection and waits for its end.
  async #connect(Transport) {
    let { token } = this.options;
    if (typeof token === "function") {
      let late;
      try {
        const timeout = new Promise((_, reject) => {
          late = setTimeout(() => reject(new Error("no token in time")), this.options.connectTimeoutMs);
        });
        token = await Promise.race([token(), timeout]);
      } catch (error) {
        return { error: Object.assign(new SafeError("token", `the token callback failed: ${error?.message}`, { cause: error }), { permanent: error?.permanent }) };
      } finally {
        clearTimeout(late);
      }
      if (this.#stopped) return {};
    }
    this.#connection = new Connection(this, Transport, token);
    const end = await this.#connection.ended;
    this.#connection = null;
    for (const subscription of this.subscriptions.values()) {
      clearTimeout(subscription.retry);
      subscription.retry = null;
    }
    return end;
  }
}

function invalid(message) { return new SafeError("invalid-argument", message); }

// newKey returns 128 random bits. crypto.randomUUID is missing where a page was loaded
// without TLS.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** connect returns a client of the server at the URL, which may be relative to the
 * page. It connects in the background. */
export function connect(url = "/realtime", options = {}) { return new Client(url, options); }
