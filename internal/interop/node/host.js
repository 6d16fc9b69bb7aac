'use strict';

// Runs published clients and servers for tests, which drive it by lines of JSON.
// Commands come in on standard input:
//
//   {"id":1,"actor":7,"do":"start","kind":"client","options":{}}
//   {"id":2,"actor":7,"do":"subscribe","shareDataId":"counter"}
//
// Their answers, and what happens meanwhile, go out on standard output, an
// actor's in the order in which they happened:
//
//   {"answer":1,"value":null}
//   {"answer":2,"error":"why it failed"}
//   {"actor":7,"event":"open"}
//
// The process ends with its standard input.

const readline = require('readline');
const kinds = { client: require('./client'), server: require('./server') };

const write = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

// actors are the commands of each client and server.
const actors = new Map();

async function start(actor, { kind, options }) {
  const say = (event) => write({ actor, ...event });
  const { commands, value } = await kinds[kind](options, say);
  actors.set(actor, commands);
  return value;
}

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', async (line) => {
  const { id, actor, do: name, ...parameters } = JSON.parse(line);
  try {
    const value = await (name === 'start' ? start(actor, parameters) : actors.get(actor)[name](parameters));
    write({ answer: id, value: value ?? null });
  } catch (error) {
    write({ answer: id, error: error.message });
  }
});
lines.on('close', () => process.exit(0));
