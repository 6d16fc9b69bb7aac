'use strict';

// Stands in for the manager of @degenerate/sharedata, which was never
// published: the part of it that the published server uses.

const { EventEmitter } = require('events');

// Rejection is what a function throws to reject a proposal.
class Rejection extends Error {}

class Manager extends EventEmitter {
  #all = new Map();

  getShareDataById(id) {
    return this.#all.get(id);
  }

  // create creates a ShareData, with the transactions of an earlier process.
  create(id, currentState, functions, transactionHistory = []) {
    this.#all.set(id, { id, currentState, functions, transactionHistory });
  }

  update(id, currentState) {
    this.#all.get(id).currentState = currentState;
    this.#notify('updated', { shareDataId: id, currentState });
  }

  remove(id) {
    this.#all.delete(id);
    this.#notify('removed', { shareDataId: id });
  }

  async applyTransaction(id, proposed, fn, proof) {
    const shareData = this.#all.get(id);
    let accepted = true;
    try {
      shareData.currentState = fn.evaluate(shareData.currentState, proposed);
    } catch (error) {
      if (!(error instanceof Rejection)) {
        throw error;
      }
      accepted = false;
    }
    // Published stores expect the ids of transactions to be ascending numbers.
    const transactionId = String(shareData.transactionHistory.length + 1);
    shareData.transactionHistory.push({ transactionId, accepted, proof });
    this.#notify('transaction', {
      shareDataId: id, transactionId, accepted, currentState: shareData.currentState,
    });
    await fn.beforeAnswer?.();
    return { accepted, transactionId };
  }

  #notify(what, details) {
    const type = `share-data:${what}`;
    this.emit(type, { type, ...details });
  }
}

module.exports = { Manager, Rejection };
