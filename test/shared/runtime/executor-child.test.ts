// The contract of starting a process, held by both ways to do it: what it gets, what is heard of it, how it ends, and that nothing
// of it is left.
import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { chooseStart, forkChild, type ChildOrder, type StartChild } from '@tidegate/shared/runtime/executor-child.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { childPids } from '../../support/child-processes.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('executor-child');

const order = (script: string, more: Partial<ChildOrder> = {}): ChildOrder => ({
  command: process.execPath,
  args: ['-e', script],
  env: { ...process.env, NODE_OPTIONS: undefined },
  sharedFd: undefined,
  ...more,
});
const LIVES = 'setInterval(() => {}, 1000)';
const PIPE = "const pipe = new (require('node:net').Socket)({ fd: 3, readable: true, writable: true });";

describe.each([
  ['fork', async () => forkChild],
  ['the way chosen here', async () => chooseStart(silentLog)],
] as const)('a process started by %s', (_, choose) => {
  let start: StartChild;
  beforeAll(async () => {
    start = await choose();
  });
  const alive: { kill(): void; closed: Promise<unknown> }[] = [];
  const started: StartChild = (given) => {
    const child = start(given);
    alive.push(child);
    child.pipe.on('error', () => undefined);
    child.pipe.resume();
    child.stderr.resume();
    return child;
  };
  afterEach(async () => {
    for (const child of alive) child.kill();
    await Promise.all(alive.splice(0).map(({ closed }) => closed));
  });

  it('gets its arguments, its whole environment and nothing else, a pipe both ways, and silence elsewhere', async () => {
    const long = 'x'.repeat(100_000);
    const script = `${PIPE}
      const { fstatSync, readlinkSync } = require('node:fs');
      pipe.once('data', (data) => {
        pipe.end(JSON.stringify([String(data), process.argv[1], process.env, fstatSync(0).rdev === fstatSync(1).rdev]));
        pipe.destroySoon();
      });`;
    const child = started(
      order(script, { args: ['-e', script, 'ünd'], env: { A: 'grün', LONG: long, GONE: undefined } }),
    );
    child.pipe.write('hello');
    expect(JSON.parse(await text(child.pipe))).toEqual(['hello', 'ünd', { A: 'grün', LONG: long }, true]);
    expect(await child.closed).toEqual({ code: 0, signal: null });
    expect(child.pid).toBeGreaterThan(1);
  });

  it('shares the file behind its descriptor 4', async () => {
    const sharedFd = openSync(join(newFolder(), 'shared'), 'wx+');
    writeSync(sharedFd, 'in common');
    const child = started(order(`${PIPE} pipe.end(require('node:fs').readFileSync('/dev/fd/4'))`, { sharedFd }));
    expect(await text(child.pipe)).toBe('in common');
    await child.closed;
    closeSync(sharedFd);
  });

  it('has been heard out when its end is told: all of stderr, the code or the signal', async () => {
    const failing = started(order("console.error('x'.repeat(300_000)); process.exitCode = 3"));
    const said = text(failing.stderr);
    expect(await failing.closed).toEqual({ code: 3, signal: null });
    expect((await said).length).toBe(300_001);
    expect(await started(order('process.abort()')).closed).toEqual({ code: null, signal: 'SIGABRT' });
  });

  it('is killed, by its pid or by `kill`, also before it has started; once gone, `kill` does nothing', async () => {
    const killed = { code: null, signal: 'SIGKILL' };
    const child = started(order(`${PIPE} pipe.write('up'); ${LIVES}`));
    await new Promise((resolve) => child.pipe.once('data', resolve));
    process.kill(child.pid!, 'SIGKILL');
    expect(await child.closed).toEqual(killed);
    child.kill();
    const atOnce = started(order(LIVES));
    atOnce.kill();
    expect(await atOnce.closed).toEqual(killed);
  });

  it('that can not start says so', async () => {
    const child = started(order('', { command: '/nowhere/node' }));
    expect(await child.closed).toMatchObject({ failure: { message: expect.stringContaining('ENOENT') as string } });
    child.kill();
  });

  it.runIf(process.platform === 'linux')('leaves no descriptor and no zombie, however it ended', async () => {
    await started(order('0')).closed; // what is opened once
    const left = (): unknown => [childPids(), readdirSync('/proc/self/fd').length];
    const before = left();
    for (let i = 0; i < 2; i++) {
      const children = [started(order('0')), started(order(LIVES)), started(order('', { command: '/nowhere/node' }))];
      children[1]!.kill();
      await Promise.all(children.map(({ closed }) => closed));
    }
    await expect.poll(left).toEqual(before);
  });

  it.runIf(process.platform === 'linux')('inherits no descriptor but its own', async () => {
    const script = `${PIPE} pipe.end(require('node:fs').readdirSync('/proc/self/fd').map((fd) => {
      try { return require('node:fs').readlinkSync('/proc/self/fd/' + fd) } catch { return '' }
    }).join(' '))`;
    const mine = openSync('/proc/self/status', 'r');
    const seen = await text(started(order(script)).pipe);
    closeSync(mine);
    expect(seen).not.toContain('status');
    expect(seen).toContain('socket:');
  });
});
