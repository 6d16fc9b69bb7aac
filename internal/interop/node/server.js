'use strict';

// The published server as an actor, on a free port of the loopback, which is
// what its start is answered with. Its options are those of attachRealtimeServer
// that are plain data, and
//
//   tokens       who may connect; without it, everybody
//   deny         ShareData that nobody may subscribe to
//   proposing    false to switch it off
//   slowReplay   true to make replays wait for the command releaseReplay

const { once } = require('events');
const { createServer } = require('http');
const {
  attachRealtimeServer,
  createIdBasedFunctionResolver,
  createShareDataAuthenticate,
  InMemoryReplayStore,
} = require('@degenerate/realtime');
const { Manager, Rejection } = require('./manager');

// SlowReplayStore delays replays, as a store behind a network does.
class SlowReplayStore extends InMemoryReplayStore {
  constructor(size, wait) {
    super(size);
    this.wait = wait;
  }

  async entriesSince(...parameters) {
    await this.wait();
    return super.entriesSince(...parameters);
  }
}

function add({ value }, { by }) {
  if (value + by < 0) {
    throw new Rejection('below zero');
  }
  return { value: value + by };
}

module.exports = async ({ tokens, deny, proposing = true, slowReplay = false, ...options }, say) => {
  // A gate reports an event and blocks until a command opens it.
  const gate = (event) => {
    let open = () => {};
    const wait = () => new Promise((resolve) => {
      open = resolve;
      say({ event });
    });
    return { wait, open: () => open() };
  };
  const answers = gate('answer delayed');
  const replays = gate('replay delayed');

  const functions = [
    { id: 'add', evaluate: add },
    { id: 'addSlowly', evaluate: add, beforeAnswer: answers.wait },
    { id: 'set', evaluate: (_, proposed) => proposed },
    { id: 'fail', evaluate: () => { throw new Error('out of order'); } },
  ];
  const manager = new Manager();
  const http = createServer();
  const server = attachRealtimeServer({
    ...options,
    server: http,
    manager,
    authenticate: tokens
      ? createShareDataAuthenticate({ authorities: new Map(tokens.map((token) => [token, { iss: 'test' }])) })
      : () => ({ subject: 'anybody' }),
    authorizeSubscribe: deny && ((_, id) => !deny.includes(id)),
    resolveFunction: proposing ? createIdBasedFunctionResolver(manager) : undefined,
    replayStore: slowReplay ? new SlowReplayStore(options.replayBufferSize, replays.wait) : undefined,
  });
  server.on('connection:overflow', () => say({ event: 'overflow' }));
  server.wss.on('connection', (socket) => {
    socket.on('ping', () => say({ event: 'client heartbeat' }));
    socket.on('pong', () => say({ event: 'heartbeat' }));
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');

  return {
    value: http.address().port,
    commands: {
      create: ({ shareDataId, state, history }) => manager.create(shareDataId, state, functions, history),
      update: ({ shareDataId, state }) => manager.update(shareDataId, state),
      remove: ({ shareDataId }) => manager.remove(shareDataId),
      propose: ({ shareDataId, functionId, data }) => manager.applyTransaction(
        shareDataId, data, functions.find(({ id }) => id === functionId),
      ),
      history: ({ shareDataId }) => manager.getShareDataById(shareDataId).transactionHistory,
      releaseAnswer: () => answers.open(),
      releaseReplay: () => replays.open(),
      stop: async () => {
        await server.close();
        http.close();
      },
    },
  };
};
