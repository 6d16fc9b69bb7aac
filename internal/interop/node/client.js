'use strict';

// The published client as an actor. Its options are those of RealtimeClient.

const WebSocket = require('ws');
const { RealtimeClient } = require('@degenerate/realtime');

module.exports = (options, say) => {
  // The client does not report heartbeats, so the socket does.
  class Socket extends WebSocket {
    constructor(...parameters) {
      super(...parameters);
      this.on('ping', () => say({ event: 'heartbeat' }));
    }
  }

  const client = new RealtimeClient({ ...options, webSocketCtor: Socket });
  client.on('open', () => say({ event: 'open' }));
  client.on('close', (code, reason) => say({ event: 'close', code, reason }));
  client.on('error', (error) => say({ event: 'error', message: error.message }));
  client.on('reconnecting', (attempt) => say({ event: 'reconnecting', attempt }));

  const subscriptions = new Map();

  function subscribe({ shareDataId }) {
    const subscription = client.subscribe(shareDataId);
    if (subscriptions.get(shareDataId) === subscription) {
      return;
    }
    subscriptions.set(shareDataId, subscription);
    for (const kind of ['state', 'transaction', 'lifecycle']) {
      subscription.on(kind, (frame) => say({ event: kind, frame }));
    }
  }

  return {
    commands: {
      connect: () => client.connect(),
      subscribe,
      unsubscribe: ({ shareDataId }) => subscriptions.get(shareDataId).unsubscribe(),
      cursor: ({ shareDataId }) => subscriptions.get(shareDataId).lastTransactionId,
      propose: ({ proposal }) => client.propose(proposal),
      ping: () => client.ping(),
      stop: () => client.close(),
    },
  };
};
