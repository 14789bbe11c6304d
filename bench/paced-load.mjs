// A load generator with a steady pace: one prepared request, sent so many times a second whatever happens to those before it.
// node paced-load.mjs HOST PORT REQUEST_FILE PER_SECOND: then a line "MS" on stdin for each round. Answers the times, and how many
// different model digests the answers named; an answer that isn't 200 fails the round.
import { readFileSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { quantile } from './statistics.mjs';

const [host, port, file, perSecond] = process.argv.slice(2);
const bytes = readFileSync(file);
const headEnd = bytes.indexOf('\r\n\r\n');
const [first, ...fields] = bytes.toString('latin1', 0, headEnd).split('\r\n');
const options = {
  host,
  port,
  method: 'POST',
  path: first.split(' ')[1],
  headers: Object.fromEntries(fields.map((field) => field.split(': '))),
  agent: new Agent({ keepAlive: true }),
};
const body = bytes.subarray(headEnd + 4);

function ask() {
  return new Promise((resolve, reject) => {
    const sentMs = performance.now();
    const sent = httpRequest(options, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => {
        const { statusCode, headers } = response;
        if (statusCode !== 200) reject(new Error(`${statusCode}: ${Buffer.concat(chunks).toString('utf8', 0, 300)}`));
        else resolve({ tookMs: performance.now() - sentMs, digest: headers['tidegate-model-digest'] });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

async function round(ms) {
  const times = [];
  const digests = new Set();
  const failures = [];
  const asked = [];
  const startedMs = performance.now();
  for (let i = 0; performance.now() - startedMs < ms; i += 1) {
    const kept = ask().then(
      ({ tookMs, digest }) => {
        times.push(tookMs);
        digests.add(digest);
      },
      (error) => failures.push(error.message),
    );
    asked.push(kept);
    const restMs = startedMs + ((i + 1) * 1000) / perSecond - performance.now();
    if (restMs > 0) await delay(restMs);
  }
  await Promise.all(asked);
  if (failures.length > 0) return { failure: `${failures.length} of ${asked.length} failed: ${failures[0]}` };
  times.sort((a, b) => a - b);
  return { answers: times.length, p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99), digests: digests.size };
}

console.log('ready');
for await (const line of createInterface({ input: process.stdin }))
  console.log(JSON.stringify(await round(Number(line))));
process.exit(0);
