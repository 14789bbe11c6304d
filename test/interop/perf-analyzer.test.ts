// Triton's perf_analyzer, unmodified, against a real agent: its C++ clients with several requests in flight, over HTTP and gRPC, its streams, and
// its shared memory. What it measures here says nothing; that it can, and that its figures of the server are its own, does.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { examplesFolder, startAgent, type AgentProcess } from '../support/agent-process.js';
import { perfAnalyzer } from './perf-analyzer-environment.js';
import { describeWithPython } from './python-environment.js';

const run = promisify(execFile);
const MAKE_TIMEOUT_MS = 420_000;
const RUN_TIMEOUT_MS = 100_000;
/** Windows of one second, stable whatever they measure. */
const QUICKLY = ['--measurement-mode', 'count_windows', '--measurement-request-count', '20', '-r', '10', '-s', '999'];
/** Requests that began in one window and ended in the next. */
const BETWEEN_WINDOWS = 40;
const SHARED = ['--shared-memory', 'system', '--output-shared-memory-size', '4096'];

await describeWithPython('perf_analyzer', 'perf_analyzer', (python) => {
  let folder: string;
  let agent: AgentProcess;
  let analyzer: Awaited<ReturnType<typeof perfAnalyzer>>;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidegate-perf-analyzer-'));
    analyzer = await perfAnalyzer(python);
    if ('missing' in analyzer) console.warn(`SKIPPED: perf_analyzer: ${analyzer.missing}`);
    agent = await startAgent(['serve', `${examplesFolder}digits`]);
  }, MAKE_TIMEOUT_MS);
  afterAll(async () => {
    await agent?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test.for([
    ['http', '-a'],
    ['http', ...SHARED],
    ['grpc', '-a'],
    ['grpc', '--streaming', ...SHARED],
  ])('-i %s %s', async ([protocol = '', ...options], { skip }) => {
    if ('missing' in analyzer) return skip(analyzer.missing);
    const { program, args, environment } = analyzer;
    const address = protocol === 'http' ? new URL(agent.url).host : agent.grpcAddress;
    const csv = join(folder, 'out.csv');
    const model = ['-m', 'digits', '--shape', 'image:1,1,28,28', '-H', 'tidegate-cache:bypass'];
    const asked = [...model, '-i', protocol, '-u', address, '--concurrency-range', '1:4:3', ...options, ...QUICKLY];
    const { stdout, stderr } = await run(program, [...args, ...asked, '-f', csv], {
      env: environment,
      cwd: folder,
      timeout: RUN_TIMEOUT_MS,
    });
    expect(stdout + stderr).not.toMatch(/unable|failed|error|warning/i);
    const [head = '', ...lines] = (await readFile(csv, 'utf8')).trim().split('\n');
    const names = head.split(',');
    const rows = lines.map((line) => new Map(line.split(',').map((value, i) => [names[i], Number(value)])));
    expect(rows.map((row) => row.get('Concurrency'))).toEqual([1, 4]);
    for (const row of rows) {
      expect(row.get('Inferences/Second')).toBeGreaterThan(0);
      expect(row.get('Server Compute Infer')).toBeGreaterThan(0);
    }
    const counted = (name: string): number[] =>
      [...stdout.matchAll(new RegExp(`^ +${name}: (\\d+)$`, 'gm'))].map(([, count]) => Number(count));
    const [ofClient, ofServer] = [counted('Request count'), counted('Inference count')];
    expect(ofServer).toHaveLength(2);
    for (const [i, count] of ofClient.entries()) {
      expect(Math.abs((ofServer[i] as number) - count)).toBeLessThan(BETWEEN_WINDOWS);
    }
    console.log(`perf_analyzer 2.60.0 -i ${[protocol, ...options].join(' ')}: ${ofClient.join(' and ')} requests`);
  });
});
