// The rendered unit, and what systemd itself says of it where it is installed.
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemdUnit, UNIT_NAME, type UnitOptions } from '@tidegate/edge-agent/service/systemd-unit.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('systemd-unit');
const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;
if (!hasSystemd) console.warn('SKIPPED: what systemd says of the unit, no systemd-analyze (apt-get install systemd)');
const options: UnitOptions = {
  ...{ node: process.execPath, script: '/opt/tidegate/agent.js', args: ['--data-dir', '/var/lib/tidegate'] },
  ...{ dataDir: '/var/lib/tidegate', user: undefined, memoryMaxBytes: undefined, drainTimeoutMs: 30_000 },
  ...{ needsGpu: false, lowestPort: 8000, unixSocket: undefined },
};
const lines = (more: Partial<UnitOptions> = {}) => systemdUnit({ ...options, ...more }).split('\n');

describe('the unit', () => {
  it('restarts for ever, writes its own state only, and gains nothing', () => {
    const unit = lines();
    for (const line of [
      ...['Restart=always', 'StartLimitIntervalSec=0', 'TimeoutStopSec=40', 'KillMode=mixed'],
      ...['DynamicUser=yes', 'StateDirectory=tidegate', 'NoNewPrivileges=yes', 'ProtectSystem=strict'],
      ...['ProtectHome=yes', 'PrivateDevices=yes', 'CapabilityBoundingSet='],
    ]) {
      expect(unit).toContain(line);
    }
    expect(unit.join('\n')).not.toMatch(/MemoryMax|MemoryDenyWriteExecute|WatchdogSec|AmbientCapabilities/);
  });

  it('follows what was asked: user, memory, GPU, a low port, a socket elsewhere', () => {
    const unit = lines({
      ...{ user: 'camera', dataDir: '/data/tide gate', memoryMaxBytes: 2 ** 30, needsGpu: true, lowestPort: 80 },
      ...{ unixSocket: '/srv/app/agent.sock', script: '/home/me/agent.js' },
    });
    for (const line of [
      ...['User=camera', 'ReadWritePaths="/data/tide gate"', 'MemoryMax=1073741824', 'ReadWritePaths=-/srv/app'],
      ...['AmbientCapabilities=CAP_NET_BIND_SERVICE', 'ProtectHome=read-only'],
    ]) {
      expect(unit).toContain(line);
    }
    expect(unit.join('\n')).not.toMatch(/DynamicUser|PrivateDevices/);
  });

  it('quotes words as systemd reads them, and refuses what can not be quoted', () => {
    const [command] = lines({ args: ['--unix-socket', '/run/a b"c$d%e\\f'] }).filter((line) =>
      line.startsWith('ExecStart'),
    );
    expect(command).toMatch(/ run --unix-socket "\/run\/a b\\"c\$\$d%%e\\\\f"$/);
    expect(() => lines({ args: ['a\nExecStartPost=/bin/sh'] })).toThrow('line break');
    expect(() => lines({ dataDir: '/data/tidegate' })).toThrow('--service-user');
  });

  it.skipIf(!hasSystemd && process.env['CI'] === undefined)('is a unit to systemd, with little exposure', () => {
    const path = join(newFolder(), UNIT_NAME);
    const verify = (more: Partial<UnitOptions>): void => {
      writeFileSync(path, systemdUnit({ ...options, script: process.execPath, memoryMaxBytes: 2 ** 30, ...more }));
      const { status, stderr } = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    };
    verify({
      user: 'daemon',
      dataDir: '/data/tide gate "x"',
      unixSocket: '/srv/a b/s',
      needsGpu: true,
      lowestPort: 80,
    });
    verify({});
    const args = ['security', '--offline=true', '--threshold=30', path]; // 3.0 of 10
    expect(() => execFileSync('systemd-analyze', args, { stdio: 'pipe' })).not.toThrow();
  });
});
