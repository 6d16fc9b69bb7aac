// Runs clients of the module for tests, in Node and in browsers. The test drives it over
// a WebSocket, by commands that are texts of JSON:
//
//   {"do":"open","client":"a","url":"ws://…","options":{},"follow":["counter"],"slow":true}
//   {"do":"restart","client":"a"}    go on with another client, from the same positions
//   {"do":"close","client":"a"}
//   {"do":"eventsource","client":"e","url":"http://…?shareDataId=counter","shareDataId":"counter"}
//   {"do":"propose","client":"a","answer":1,"shareDataId":"counter","functionId":"add","data":{},"options":{}}
//
// What the clients see goes back in the order in which they see it:
//
//   {"client":"a","shareDataId":"counter","subscribed":{"since":"1-2"}}
//   {"client":"a","shareDataId":"counter","event":{"type":"state"}}
//   {"client":"a","shareDataId":"counter","ended":"unknown-share-data"}
//   {"client":"a","status":{"state":"open"}}
//   {"client":"e","shareDataId":"counter","stream":"open","since":"1-2"}, then frames, or "lost"
//   {"client":"e","shareDataId":"counter","frame":{"type":"state"}}
//   {"answer":1,"result":{}} or {"answer":1,"error":{"code":"timeout"}}
import { connect } from "../safe.js";

const clients = new Map();
let restarts = 0;
const control = new WebSocket(globalThis.process?.argv[2] ?? new URL("/control", location.href));
const say = (message) => control.send(JSON.stringify(message));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function open(name, { url, options, follow = [], slow = false }, positions = new Map()) {
  const client = connect(url, options);
  client.status.subscribe((status) => say({ client: name, status: { ...status, error: status.error?.message } }));
  const loops = follow.map((id) => followOne(name, client, id, positions, slow));
  clients.set(name, { client, loops, positions, command: { url, options, follow, slow } });
}

async function followOne(name, client, id, positions, slow) {
  for (let n = 0; ; ) {
    const from = positions.get(id) ?? {};
    say({ client: name, shareDataId: id, subscribed: from });
    const subscription = client.subscribe(id, from);
    try {
      for await (const event of subscription) {
        say({ client: name, shareDataId: id, event });
        positions.set(id, subscription.position);
        if (slow && ++n % 4 === 0) await pause(n % 100);
      }
    } catch (error) {
      say({ client: name, shareDataId: id, ended: error.code ?? String(error.stack) });
      if (error.code === "closed") return;
      await pause(30);
    }
    positions.delete(id);
  }
}

async function close(name) {
  const { client, loops } = clients.get(name);
  client.close();
  await Promise.all(loops);
}

// eventSource follows a ShareData with what browsers have.
function eventSource({ client, url, shareDataId }) {
  const source = new EventSource(url);
  let since = "";
  source.onopen = () => say({ client, shareDataId, stream: "open", since });
  source.onerror = () => say({ client, shareDataId, stream: "lost" });
  for (const type of ["state", "transaction", "lifecycle"]) {
    source.addEventListener(type, ({ data, lastEventId }) => {
      since = lastEventId;
      say({ client, shareDataId, frame: JSON.parse(data) });
    });
  }
}

const commands = {
  eventsource: eventSource,
  open: (command) => open(command.client, command),
  close: ({ client }) => close(client),
  async restart({ client }) {
    const { command, positions } = clients.get(client);
    await close(client);
    if (++restarts % 2) for (const [id, { since }] of positions) positions.set(id, { since }); // The state is lost.
    open(client, command, positions);
  },
  async propose({ client, answer, shareDataId, functionId, data, options }) {
    try {
      say({ answer, result: await clients.get(client).client.propose(shareDataId, functionId, data, options) });
    } catch (error) {
      say({ answer, error: { code: error.code ?? String(error.stack), message: error.message, idempotencyKey: error.idempotencyKey } });
    }
  },
};

let before = Promise.resolve(); // the command before, but for proposals
control.onmessage = ({ data }) => {
  const command = JSON.parse(data);
  const run = () => commands[command.do](command);
  if (command.do === "propose") run();
  else before = before.then(run);
};
control.onclose = () => globalThis.process?.exit(0);
