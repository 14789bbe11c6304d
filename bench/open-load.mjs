// An open load: requests go out at their times (Poisson, as from many callers who know nothing of each other), whether or not the
// ones before have been answered; that is how a server is overloaded. node open-load.mjs HOST PORT: then on stdin, for each round,
// a line of JSON {"ms", "streams": [{"name", "perSecond", "requests": [{"file", "deadlineMs"}]}]}; a stream's requests take turns by
// chance. The answer has for each stream what became of its requests. A request's time counts from when it was due.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { quantile } from './statistics.mjs';

const [host, port] = process.argv.slice(2);
const HEADER_END = Buffer.from('\r\n\r\n');
/** Connections; a request that finds none free waits for one, and its time counts. */
const CONNECTIONS_MAX = 512;
/** The same arrivals in each round: numbers over 0 and up to 1. */
const drawing = (seed) => () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return (seed + 1) / 2 ** 32;
};

const free = [];
const waiting = [];
let opened = 0;

class Connection {
  constructor() {
    opened += 1;
    this.socket = connect({ host, port: Number(port), noDelay: true });
    this.socket.on('data', (chunk) => this.read(chunk));
    this.socket.on('error', (error) => (this.error = error.message));
    this.socket.on('close', () => this.closed());
    this.missing = 0;
  }

  ask(request, onEnd) {
    this.onEnd = onEnd;
    this.socket.write(request);
  }

  read(chunk) {
    if (this.missing > 0) this.missing -= chunk.length;
    else {
      const bytes = this.head === undefined ? chunk : Buffer.concat([this.head, chunk]);
      const end = bytes.indexOf(HEADER_END);
      if (end < 0) {
        this.head = bytes;
        return;
      }
      const head = bytes.toString('latin1', 0, end);
      this.status = Number(head.slice(9, 12));
      this.error = /^tidegate-error: *(.+)/im.exec(head)?.[1];
      this.head = undefined;
      this.missing = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0) - (bytes.length - end - 4);
    }
    if (this.missing <= 0) this.end(this.status, this.error);
  }

  /** Servers close what rests long. */
  closed() {
    opened -= 1;
    const at = free.indexOf(this);
    if (at >= 0) free.splice(at, 1);
    this.onEnd?.(0, this.error ?? 'the server closed the connection');
    const next = waiting.shift();
    if (next !== undefined) next(new Connection());
  }

  end(status, error) {
    const { onEnd } = this;
    this.onEnd = undefined;
    onEnd?.(status, error);
    const next = waiting.shift();
    if (next === undefined) free.push(this);
    else next(this);
  }
}

function send(request, onEnd) {
  const connection = free.pop() ?? (opened < CONNECTIONS_MAX ? new Connection() : undefined);
  if (connection === undefined) waiting.push((one) => one.ask(request, onEnd));
  else connection.ask(request, onEnd);
}

/** Sends a stream's requests for `ms`; resolves when all have been answered. */
async function play({ perSecond, requests }, ms, random) {
  const seen = { offered: 0, met: 0, late: 0, refused: 0, failed: 0, errors: {} };
  const times = [];
  const bodies = requests.map(({ file, deadlineMs }) => ({ bytes: readFileSync(file), deadlineMs }));
  const open = [];
  const startMs = performance.now();
  let dueMs = startMs;
  for (;;) {
    dueMs -= (Math.log(random()) / perSecond) * 1000;
    if (dueMs > startMs + ms) break;
    const restMs = dueMs - performance.now();
    if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
    const { bytes, deadlineMs } = bodies[Math.floor(random() * bodies.length)];
    const fromMs = dueMs;
    seen.offered += 1;
    open.push(
      new Promise((resolve) => {
        send(bytes, (status, error) => {
          const tookMs = performance.now() - fromMs;
          if (status === 200) times.push(tookMs);
          if (status === 200 && tookMs <= deadlineMs) seen.met += 1;
          else if (status === 200 || status === 504) seen.late += 1;
          else if (status === 503 || status === 429) seen.refused += 1;
          else seen.failed += 1;
          if (status !== 200) seen.errors[error ?? status] = (seen.errors[error ?? status] ?? 0) + 1;
          resolve();
        });
      }),
    );
  }
  await Promise.all(open);
  const sorted = times.toSorted((a, b) => a - b);
  return { ...seen, times: sorted, p50Ms: quantile(sorted, 0.5), perSecond: (seen.met / ms) * 1000 };
}

console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const { ms, streams } = JSON.parse(line);
  const played = await Promise.all(streams.map((stream, i) => play(stream, ms, drawing(i + 1))));
  console.log(JSON.stringify(Object.fromEntries(streams.map(({ name }, i) => [name, played[i]]))));
}
process.exit(0);
