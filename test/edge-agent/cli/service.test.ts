// Only `--print`: installing would change the machine that tests run on (install-unit.test.ts does it in a folder).
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runAgent } from '../../support/agent-process.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('service');

const install = (...args: string[]) =>
  runAgent(['service', 'install', '--print', ...args], {
    environment: { TIDEGATE_API_TOKEN: 'secret-of-this-shell-1' },
  });

describe('service install --print', () => {
  it('shows a unit that runs this agent with the flags given, and no secret', async () => {
    const { code, stdout, stderr } = await install(
      '--http-port',
      '8080',
      '--host',
      '0.0.0.0',
      '--memory-max',
      '512MiB',
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /^ExecStart=\S+ \S+tidegate-agent\.js run --data-dir \/var\/lib\/tidegate --host 0\.0\.0\.0 --http-port 8080$/m,
    );
    expect(stdout).toContain('MemoryMax=536870912\n');
    expect(stdout).toContain('EnvironmentFile=-/etc/tidegate/agent.env\n');
    expect(stdout).not.toContain('secret-of');
  });

  it('runs with the data folder of the config file where no flag names another', async () => {
    const config = join(newFolder(), 'agent.yaml');
    writeFileSync(config, 'data-dir: /var/lib/elsewhere\n');
    const { stdout } = await install('--config', config);
    expect(stdout).toMatch(/^ExecStart=.* --data-dir \/var\/lib\/elsewhere --config \S+agent\.yaml$/m);
    expect(stdout).toContain('StateDirectory=elsewhere\n');
    expect((await install('--config', config, '--data-dir', '/var/lib/here')).stdout).toContain(
      'StateDirectory=here\n',
    );
  });

  it('refuses wrong settings before anything is written, and secrets as flags', async () => {
    expect(await install('--http-port', 'x')).toMatchObject({ code: 2 });
    expect(await install('--memory-max', 'much')).toMatchObject({ code: 2 });
    expect(await install('--data-dir', '/data/x')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--service-user') as string,
    });
    expect(await install('--api-token', 'a-token-of-16-chars')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('unknown option') as string,
    });
  });
});
