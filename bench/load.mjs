// A load generator that costs little: one prepared HTTP/1.1 request, repeated over kept-alive sockets, each sending the next as
// soon as its answer is whole. node load.mjs HOST PORT CONNECTIONS REQUEST_FILE: then a line "MS" on stdin for each round.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const [host, port, connections, file] = process.argv.slice(2);
const request = readFileSync(file);
const HEADER_END = Buffer.from('\r\n\r\n');

let untilMs = 0;
let latencies = [];
let failure;

class Connection {
  constructor() {
    this.socket = connect({ host, port: Number(port), noDelay: true });
    this.socket.on('data', (chunk) => this.read(chunk));
    this.socket.on('error', (error) => (failure = error.message));
    this.head = undefined;
    this.missing = 0;
  }

  /** Sends until the round is over; resolves then. */
  round() {
    return new Promise((resolve) => {
      this.done = resolve;
      this.send();
    });
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
      if (!head.startsWith('HTTP/1.1 200')) failure = bytes.toString('utf8', 0, 600);
      const length = /^content-length: *(\d+)/im.exec(head);
      if (length === null) failure = `no content-length: ${head}`;
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

const sockets = Array.from({ length: Number(connections) }, () => new Connection());
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const startedMs = performance.now();
  untilMs = startedMs + Number(line);
  latencies = [];
  const cpu = process.cpuUsage();
  await Promise.all(sockets.map((socket) => socket.round()));
  if (failure !== undefined) {
    console.log(JSON.stringify({ failure }));
    process.exit(1);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  const perSecond = latencies.length / seconds;
  console.log(
    JSON.stringify({ perSecond, p50Ms: at(0.5), p99Ms: at(0.99), cpuUs: (user + system) / latencies.length }),
  );
}
process.exit(0);
