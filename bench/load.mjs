// A load generator that costs little: one prepared HTTP/1.1 request, repeated over kept-alive sockets, each sending the next as
// soon as its answer is whole. node load.mjs HOST PORT CONNECTIONS REQUEST_FILE: then a line "MS" on stdin for each round.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { quantile } from './statistics.mjs';

const [host, port, connections, file] = process.argv.slice(2);
const request = readFileSync(file);
const HEADER_END = Buffer.from('\r\n\r\n');

let untilMs = 0;
let latencies = [];
let failure;
/** An answer that takes longer ends the round with an error. */
const ANSWER_LIMIT_MS = 30_000;

class Connection {
  constructor() {
    this.socket = connect({ host, port: Number(port), noDelay: true });
    this.socket.on('data', (chunk) => this.read(chunk));
    this.socket.on('error', (error) => this.fail(error.message));
    this.socket.on('close', () => this.fail('the server closed the connection'));
    this.head = undefined;
    this.missing = 0;
    this.failed = new Promise((resolve) => (this.giveUp = resolve));
    this.opened = once(this.socket, 'connect');
  }

  /** Sends until the round is over; resolves then. */
  round() {
    return new Promise((resolve) => {
      this.done = resolve;
      this.send();
    });
  }

  fail(reason) {
    failure ??= reason;
    this.giveUp();
  }

  send() {
    this.sentMs = performance.now();
    this.socket.write(request);
  }

  read(chunk) {
    if (this.missing > 0) {
      this.missing -= chunk.length;
    } else {
      const bytes = this.head === undefined ? chunk : Buffer.concat([this.head, chunk]);
      const end = bytes.indexOf(HEADER_END);
      if (end < 0) {
        this.head = bytes;
        return;
      }
      const head = bytes.toString('latin1', 0, end);
      if (!head.startsWith('HTTP/1.1 200')) failure ??= bytes.toString('utf8', 0, 600);
      const length = /^content-length: *(\d+)/im.exec(head);
      if (length === null) failure ??= `no content-length: ${head}`;
      this.head = undefined;
      this.missing = Number(length?.[1] ?? 0) - (bytes.length - end - 4);
    }
    if (this.missing > 0) return;
    const nowMs = performance.now();
    latencies.push(nowMs - this.sentMs);
    if (failure !== undefined || nowMs >= untilMs) this.done();
    else this.send();
  }
}

console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const sockets = Array.from({ length: Number(connections) }, () => new Connection()); // servers close those that rest long
  await Promise.all(sockets.map(({ opened }) => opened));
  const startedMs = performance.now();
  untilMs = startedMs + Number(line);
  latencies = [];
  const cpu = process.cpuUsage();
  const timer = setTimeout(() => sockets[0].fail('no answer in time'), Number(line) + ANSWER_LIMIT_MS);
  await Promise.race([Promise.all(sockets.map((socket) => socket.round())), ...sockets.map(({ failed }) => failed)]);
  clearTimeout(timer);
  for (const { socket } of sockets) socket.removeAllListeners().destroy();
  if (failure !== undefined) {
    console.log(JSON.stringify({ failure }));
    process.exit(1);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const sorted = latencies.toSorted((a, b) => a - b);
  const perSecond = latencies.length / seconds;
  console.log(
    JSON.stringify({
      perSecond,
      answers: latencies.length,
      p50Ms: quantile(sorted, 0.5),
      p99Ms: quantile(sorted, 0.99),
      loadCpuUs: (user + system) / latencies.length,
    }),
  );
}
process.exit(0);
