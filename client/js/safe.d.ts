/** Types of safe.js. `State` is the type of a ShareData's state, which is only asserted:
 * nothing checks that the server sends it. States must not be changed: consecutive ones
 * share all parts that did not change. A patch copies the objects and arrays on its path,
 * which takes milliseconds for an object of 10,000 members: nest such states. */

/** connect returns a client that connects in the background. The URL is that of the
 * server, with ws:, wss:, http: or https:, or relative to the page. Default: "/realtime". */
export function connect(url?: string | URL, options?: ClientOptions): Client;

export interface ClientOptions {
  /** How to connect. "auto" uses WebSocket, and where the first one does not open in two
   * attempts, server-sent events and POST in turn with it. Default: "auto". */
  transport?: "auto" | "websocket" | "sse";
  /** The credential: a text, or a function that is called before every attempt to connect.
   * A WebSocket sends it as the query parameter "token", because browsers cannot set a
   * header, and requests as "Authorization: Bearer". A text that the server does not
   * accept stops the client for good. So does an error of the function that has
   * `permanent: true`; another one fails the attempt. Default: none. */
  token?: string | (() => string | null | undefined | Promise<string | null | undefined>) | null;
  /** Bounds one attempt to connect. Default: 15 s. */
  connectTimeoutMs?: number;
  /** The time between pings. A connection on which nothing was received for one such time
   * after a ping, or for three on a stream of events, is given up. Default: 30 s; 0: off. */
  heartbeatMs?: number;
  /** Bounds propose, counted from the call. Default: 30 s; 0: nothing but the signal does. */
  timeoutMs?: number;
  /** How many proposals may wait to be sent. Default: 100. */
  queueSize?: number;
  /** How many proposals may be sent and unanswered over a WebSocket. Over POST they are
   * sent one at a time, which keeps their order. Default: 32. */
  maxInFlight?: number;
  /** How many events of one subscription may wait for its consumer, and how many
   * characters of frames. With more, the subscription pauses and catches up when the
   * consumer has taken them. Default: 1024, and 16 Mi. */
  eventBuffer?: number;
  eventBufferChars?: number;
  /** Spaces attempts to connect: the first waits initialMs (500), each further one factor
   * (2) times as long, up to maxMs (30,000), each more or less by the share jitter (0.2). */
  backoff?: { initialMs?: number; maxMs?: number; factor?: number; jitter?: number };
}

/** Client keeps one connection to a server, and reconnects and resumes by itself. */
export interface Client {
  /** subscribe returns the events of the ShareData. A client has one live subscription
   * per ShareData; another one ends with the code "already-subscribed". Parts of a page
   * that follow the same ShareData share a store. */
  subscribe<State = unknown>(shareDataId: string, options?: SubscribeOptions<State>): Subscription<State>;
  /** propose proposes data to a function and resolves with the verdict. A rejection by the
   * function is a verdict, not an error. The proposal is sent again under its idempotency
   * key when a connection is lost or the server is busy, unavailable, shutting down or
   * unsure of the outcome, until the time is up. An error is a SafeError: with the code
   * "outcome-unknown" the proposal may have taken effect, and proposing again with its
   * idempotencyKey tells; with any other, this call changed nothing. */
  propose<Data = unknown>(shareDataId: string, functionId: string, data: Data, options?: ProposeOptions): Promise<Result>;
  /** store returns the store of the ShareData, always the same one. */
  store<State = unknown>(shareDataId: string): Store<State>;
  /** status is the state of the connection. */
  readonly status: Observable<Status>;
  /** close ends the client: calls fail and loops end with the code "closed". */
  close(): void;
}

export interface SubscribeOptions<State = unknown> {
  /** Where to continue, and the state there: what Subscription.position said. The first
   * event is then a state that is resumed, or a gap. Default: nowhere. */
  since?: string;
  state?: State;
  /** Asks the server to leave out events that the connection is too slow for, instead of
   * closing it; then comes a state that says how many it skipped. Default: false. */
  conflate?: boolean;
  /** Asks for the activity of events; the server may refuse that. Default: false. */
  activity?: boolean;
  /** Closes the subscription. */
  signal?: AbortSignal;
}

/** Subscription delivers events in order, each once. Leaving a loop over it closes it. It
 * ends after the lifecycle event that says removed, and otherwise with a SafeError: the
 * server's code where it refuses the subscription, "closed" or "already-subscribed". */
export interface Subscription<State = unknown> extends AsyncIterableIterator<Event<State>> {
  readonly shareDataId: string;
  /** The position after the last event that was taken; empty for none. */
  readonly cursor: string;
  /** The position and the state there, from which subscribe continues. */
  readonly position: { since: string; state: State | undefined };
  close(): void;
}

export type Event<State = unknown> = StateEvent<State> | TransactionEvent<State> | LifecycleEvent<State> | GapEvent;

/** StateEvent is a snapshot: the first event, and the first after each reconnect. */
export interface StateEvent<State = unknown> {
  type: "state";
  shareDataId: string;
  /** The state at the cursor; undefined only where the subscription continues from a
   * cursor without a state. */
  currentState: State | undefined;
  cursor: string;
  revision: number;
  lastTransactionId: string | null;
  /** Nothing was missed: what happened since the event before follows, the first
   * `replaying` events of it marked replayed. */
  resumed: boolean;
  replaying: number;
  /** How many events were left out before it; 0 without SubscribeOptions.conflate. */
  skipped: number;
}

/** TransactionEvent is the verdict on a proposal, of this or another client. */
export interface TransactionEvent<State = unknown> {
  type: "transaction";
  shareDataId: string;
  transactionId: string;
  accepted: boolean;
  /** The state after it; undefined only where it is replayed and the state is not known. */
  currentState: State | undefined;
  /** What changed, where the server sent that in place of the state. */
  patch?: PatchOperation[];
  /** It happened while the subscription was interrupted. */
  replayed: boolean;
  revision: number;
  functionId?: string;
  activity?: Activity;
}

/** LifecycleEvent is a change without a proposal: the state was replaced, or the
 * ShareData was removed, which is the last event. */
export interface LifecycleEvent<State = unknown> {
  type: "lifecycle";
  shareDataId: string;
  removed: boolean;
  currentState: State | undefined;
  patch?: PatchOperation[];
  replayed: boolean;
  cursor?: string;
  revision?: number;
  activity?: Activity;
}

/** GapEvent says that events after the cursor were missed and will not be delivered. A
 * state follows, or a removal. */
export interface GapEvent {
  type: "gap";
  shareDataId: string;
  cursor: string;
  reason: string;
  currentState: undefined;
}

export interface Activity {
  time?: string;
  subject?: string;
  issuer?: string;
  proposedData?: unknown;
  code?: string;
  reason?: string;
  details?: unknown;
}

export type PatchOperation =
  | { op: "add" | "replace"; path: string; value: unknown }
  | { op: "remove"; path: string };

export interface ProposeOptions {
  /** However often a proposal is sent under one key, it takes effect at most once.
   * Default: 128 random bits. */
  idempotencyKey?: string;
  /** Authorizes exactly this change, where the server requires that. Default: none. */
  proof?: unknown;
  /** Default: ClientOptions.timeoutMs. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** Result is the verdict on a proposal. */
export interface Result {
  accepted: boolean;
  /** Why it was rejected, in words; for programs: the function's own code, or "rejected";
   * and what else the function says. */
  error: string;
  code: string;
  details?: unknown;
  transactionId: string;
  /** The verdict is that of an earlier proposal with the same idempotency key. */
  duplicate: boolean;
}

/** Observable is a value with the interface of a Svelte store, and of
 * useSyncExternalStore(observable.subscribe, observable.getSnapshot). Both functions may
 * be passed on without it. */
export interface Observable<Value> {
  /** Calls the listener with the value now and at each change, until the function that it
   * returns is called. */
  subscribe: (listener: (value: Value) => void) => () => void;
  /** The value. It is the same object until it changes. */
  getSnapshot: () => Value;
}

/** Store has the current state of a ShareData: undefined before the first, and after a
 * removal. While it has listeners it is subscribed to the ShareData. */
export interface Store<State = unknown> extends Observable<State | undefined> {
  /** Why the state is not followed any more; null while it is. The next first listener
   * subscribes again. */
  readonly error: SafeError | null;
}

export type Status =
  | { state: "connecting"; attempt: number }
  | { state: "open"; transport: "websocket" | "sse" }
  | { state: "reconnecting"; attempt: number; delayMs: number; error: SafeError }
  | { state: "closed"; error: SafeError };

/** SafeError is every error of this module. */
export class SafeError extends Error {
  constructor(code: string, message: string, fields?: Partial<Omit<SafeError, "code" | "message" | "name">>);
  /** One of the server's codes, or of this module: "outcome-unknown", "timeout",
   * "aborted", "closed", "queue-full", "unauthorized", "disconnected", "token",
   * "already-subscribed", "removed", "message-too-big", "unspecified",
   * "invalid-argument", "bad-patch". */
  readonly code: string;
  readonly shareDataId?: string;
  /** Of a proposal. */
  readonly functionId?: string;
  readonly idempotencyKey?: string;
  readonly details?: unknown;
  readonly retryAfterMs?: number;
  /** The same proposal may succeed later. */
  readonly temporary?: boolean;
  /** Of a connection: the code of the server's close frame and the HTTP status; 0: none. */
  readonly closeCode?: number;
  readonly status?: number;
}

/** applyPatch returns the state after the patch (RFC 6902: add, remove and replace). It
 * shares unchanged parts with the state before, which it does not change, and throws
 * where the patch does not fit. */
export function applyPatch<State>(state: State, patch: readonly PatchOperation[]): State;
