// Starting, refusing to start, ending, and clients that go away, with real processes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AgentProcess, examplesFolder, runAgent, startAgent } from '../support/agent-process.js';
import { digitInput } from '../support/digit-inputs.js';

const digits = `${examplesFolder}digits`;
let folder: string;
let agent: AgentProcess | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-serve-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

afterEach(async () => {
  await agent?.stop();
  agent = undefined;
});

describe('serve refuses to start', () => {
  it('where the port is taken, naming flag and port', async () => {
    agent = await startAgent(['serve', digits]);
    const port = new URL(agent.url).port;
    const second = await runAgent(['serve', digits, '--http-port', port]);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`--http-port: 127.0.0.1:${port} is taken`);
    expect((await agent.infer('digits', digitInput(1))).provenance.placement).toBe('edge');
  });

  it('beyond this machine without a token, and with one asks for it', async () => {
    const open = await runAgent(['serve', digits, '--host', '0.0.0.0']);
    expect(open).toMatchObject({ code: 2, stdout: '' });
    expect(open.stderr).toContain('--api-token');
    const environment = { TIDEGATE_API_TOKEN: 'a-token-for-this-test' };
    agent = await startAgent(['serve', digits, '--host', '0.0.0.0'], { environment });
    const url = agent.url.replace('0.0.0.0', '127.0.0.1');
    for (const path of ['/v2/health/ready', '/agent/v1/status', '/metrics']) {
      expect((await fetch(url + path)).status).toBe(401);
      const authorization = `Bearer ${environment.TIDEGATE_API_TOKEN}`;
      expect((await fetch(url + path, { headers: { authorization } })).status).toBe(200);
    }
  });

  it.each([
    [['serve', 'nowhere'], 1, 'nowhere'],
    [['serve', digits, '--threads', 'many'], 2, '--threads: "many" is not allowed; allowed: 1 to 1024'],
    [['serve', digits, '--colour', 'red'], 2, "unknown option '--colour'"],
    [['serve'], 2, 'MODEL'],
    [['serve', digits, digits], 2, "two models are called 'digits'"],
    [['fly'], 2, 'fly'],
    [[], 2, 'Usage'],
  ])('%j exits with %d', async (args, code, text) => {
    const finished = await runAgent(args);
    expect(finished.stderr).toContain(text);
    expect(finished.code).toBe(code);
  });

  it('for a broken graph and a broken model.yaml, naming file and reason', async () => {
    const broken = join(folder, 'broken.onnx');
    await writeFile(broken, Buffer.from('this is no protobuf'));
    const graph = await runAgent(['serve', broken, '--http-port', '0', '--grpc-port', '0']);
    expect(graph.code).toBe(1);
    expect(graph.stderr).toContain('broken.onnx');
    const pack = await mkdtemp(join(folder, 'pack-'));
    await writeFile(join(pack, 'model.yaml'), 'name: [');
    const finished = await runAgent(['serve', pack, '--http-port', '0', '--grpc-port', '0']);
    expect(finished.code).toBe(1);
    expect(finished.stderr).toContain('model.yaml, line 1');
  });
});

describe('serve finds', () => {
  it('a repository NAME/VERSION/model.onnx, a package and a bare graph in one folder, with versions in the path', async () => {
    const mixed = await mkdtemp(join(folder, 'mixed-'));
    const graph = `${examplesFolder}bare/scale-and-add.onnx`;
    for (const version of ['3', '12']) {
      await mkdir(join(mixed, 'adder', version), { recursive: true });
      await cp(graph, join(mixed, 'adder', version, 'model.onnx'));
    }
    await cp(digits, join(mixed, 'some-folder'), { recursive: true });
    await cp(graph, join(mixed, 'Bare Graph.onnx'));
    agent = await startAgent(['serve', mixed]);
    const { models } = await agent.status();
    expect(models.map(({ name, version, verified }) => [name, version, verified])).toEqual([
      ['adder', '12', false],
      ['bare-graph', '1', false],
      ['digits', '1', false],
    ]);
    expect((await fetch(`${agent.url}/v2/models/adder/versions/12/ready`)).status).toBe(200);
    expect((await fetch(`${agent.url}/v2/models/adder/versions/3/ready`)).status).toBe(404);
    const index = (await (await fetch(`${agent.url}/v2/repository/index`, { method: 'POST' })).json()) as object[];
    expect(index).toHaveLength(3);
  });
});

describe('help and version', () => {
  it('shows an example for every verb', async () => {
    const help = await runAgent(['--help']);
    expect(help.code).toBe(0);
    const verbs = [...help.stdout.matchAll(/^ {2}([a-z-]+) .*$/gm)].map((match) => match[1] ?? '');
    for (const verb of verbs.filter((name) => name !== 'help')) {
      expect((await runAgent([verb, '--help'])).stdout, verb).toContain('Example');
    }
    const version = await runAgent(['version', '--json']);
    expect(JSON.parse(version.stdout)).toMatchObject({ version: expect.any(String) as string });
  });
});

describe('serve ends', () => {
  it('on SIGTERM: finishes what was accepted, refuses new work, exits 0', async () => {
    const started = await startAgent(['serve', digits]);
    const accepted = started.infer('digits', digitInput(1, 3000), { cache: 'bypass' });
    await untilRunning(started);
    started.child.kill('SIGTERM');
    expect((await accepted).outputs[0]?.shape).toEqual([3000]);
    const finished = await started.finished;
    expect(finished).toMatchObject({ code: 0, signal: null });
    expect(finished.stdout).toMatch(/^ready http=127\.0\.0\.1:[0-9]+ grpc=127\.0\.0\.1:[0-9]+\n$/);
  });

  it('on SIGTERM while it still starts', async () => {
    const starting = new AgentProcess(
      ['serve', digits, '--http-port', '0', '--grpc-port', 'off', '--log-format', 'json'],
      {},
    );
    await expect.poll(() => starting.stderr, { interval: 5, timeout: 10_000 }).toContain('model loaded');
    starting.child.kill('SIGTERM');
    expect((await starting.finished).code).toBe(0);
  });

  it('at once on a second SIGTERM', async () => {
    const started = await startAgent(['serve', digits]);
    void started.infer('digits', digitInput(1, 30_000), { cache: 'bypass' }).catch(() => undefined);
    await untilRunning(started);
    started.child.kill('SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, 50));
    const startMs = performance.now();
    started.child.kill('SIGTERM');
    expect((await started.finished).code).toBe(143);
    expect(performance.now() - startMs).toBeLessThan(2000);
  });

  it('leaves no executor behind, also when killed', async () => {
    const started = await startAgent(['serve', digits]);
    const pid = (await started.model('digits')).graphs[0]?.pid ?? 0;
    started.child.kill('SIGKILL');
    await started.finished;
    await expect.poll(() => isAlive(pid), { timeout: 5000 }).toBe(false);
  });
});

describe('a power cut', () => {
  it('offline: the same command answers again, with a hub that is not there (B4)', async () => {
    const args = ['serve', digits, '--hub', 'http://127.0.0.1:9'];
    for (let cut = 0; cut < 3; cut += 1) {
      const started = await startAgent(args);
      const sure = digitInput(12); // 0.98: nothing to ask a hub for
      expect((await started.infer('digits', sure, { cache: 'bypass' })).provenance.placement).toBe('edge');
      expect((await started.status()).hub?.counts['calls']).toBe(0);
      started.child.kill('SIGKILL');
      await started.finished;
    }
  });
});

describe('a client that goes away', () => {
  it('takes its waiting work along: it never starts (B27)', async () => {
    agent = await startAgent(['serve', digits]);
    const executor = (await agent.model('digits')).graphs[0]?.pid ?? 0;
    process.kill(executor, 'SIGSTOP'); // so that the queue stands still; shorter than what counts as hung
    const ask = (seed: number, signal: AbortSignal): Promise<string | undefined> | undefined =>
      agent?.infer('digits', digitInput(seed), { cache: 'bypass', signal }).then(
        () => 'answered',
        (error: { code?: string }) => error.code,
      );
    const busy = [1, 2, 3, 4].map((seed) => ask(seed, new AbortController().signal));
    await untilRunning(agent);
    const leaving = new AbortController();
    const gone = Array.from({ length: 20 }, (_, i) => ask(100 + i, leaving.signal));
    await expect.poll(async () => (await agent?.model('digits'))?.counts['queueDepth']).toBeGreaterThanOrEqual(20);
    leaving.abort();
    expect(await Promise.all(gone)).toEqual(gone.map(() => 'cancelled'));
    await expect.poll(async () => (await agent?.model('digits'))?.counts['cancelled']).toBe(20);
    process.kill(executor, 'SIGCONT');
    expect(await Promise.all(busy)).toEqual(busy.map(() => 'answered'));
    const { counts } = await agent.model('digits');
    expect(counts['rows']).toBeLessThanOrEqual(2 * busy.length);
  });
});

describe('other doors', () => {
  it('serves on a unix socket too, readable by its owner only', async () => {
    const path = join(folder, 'agent.sock');
    agent = await startAgent(['serve', digits, '--unix-socket', path]);
    const status = await new Promise<number | undefined>((resolve, reject) => {
      request({ socketPath: path, path: '/v2/health/ready' }, (response) => resolve(response.statusCode))
        .on('error', reject)
        .end();
    });
    expect(status).toBe(200);
    const mode = spawn('stat', ['-c', '%a', path]);
    const [chunk] = (await once(mode.stdout, 'data')) as [Buffer];
    expect(chunk.toString().trim()).toBe('600');
  });

  it('refuses a web page from elsewhere', async () => {
    agent = await startAgent(['serve', digits]);
    const answer = await fetch(`${agent.url}/v2/models/digits`, { headers: { origin: 'https://evil.example' } });
    expect(answer.status).toBe(403);
  });
});

async function untilRunning(started: AgentProcess): Promise<void> {
  await expect.poll(async () => (await started.model('digits')).counts['running'], { interval: 5 }).toBeGreaterThan(0);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // no such process
  }
}
