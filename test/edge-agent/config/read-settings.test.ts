import { describe, expect, it } from 'vitest';
import { isLoopback, readAgentSettings } from '@tidegate/edge-agent/config/read-settings.js';
import { SETTING_NAMES, SETTINGS } from '@tidegate/edge-agent/config/settings-table.js';
import { flagName, SettingsError, variableName } from '@tidegate/shared/system/settings.js';

const read = (part: Partial<Parameters<typeof readAgentSettings>[0]> = {}) =>
  readAgentSettings({ flags: {}, environment: {}, ...part });
const errorOf = (part: Parameters<typeof read>[0]): SettingsError => {
  try {
    read(part);
  } catch (error) {
    if (error instanceof SettingsError) return error;
  }
  throw new Error('no SettingsError');
};
const file = (text: string) => ({ path: 'agent.yaml', text });

describe('readAgentSettings', () => {
  it('has a fallback that is allowed for every setting that may not be unset', () => {
    const settings = read();
    expect(settings).toMatchObject({ host: '127.0.0.1', httpPort: 8000, defaultTimeout: 30_000, providers: ['cpu'] });
    for (const name of SETTING_NAMES) {
      if (SETTINGS[name].fallback !== undefined) expect(settings[name], name).toBeDefined();
    }
  });

  it('takes the flag over the environment over the file', () => {
    const environment = { [variableName('httpPort')]: '2', [variableName('threads')]: '2' };
    const sources = { environment, file: file('http-port: 1\nthreads: 1\nqueue-depth: 1') };
    expect(read({ ...sources, flags: { httpPort: '3' } })).toMatchObject({ httpPort: 3, threads: 2, queueDepth: 1 });
  });

  it('reads sizes, lists and choices', () => {
    const text = 'cache-size: 1.5GiB\nmax-body-size: 10MB\nproviders: [webgpu, cpu]\nlog-level: debug';
    expect(read({ file: file(text) })).toMatchObject({
      cacheSize: 1.5 * 2 ** 30,
      maxBodySize: 10_000_000,
      providers: ['webgpu', 'cpu'],
      logLevel: 'debug',
    });
  });

  it.each([
    [{ flags: { httpPort: '70000' } }, '--http-port', '"70000"', '0 to 65535'],
    [{ environment: { TIDEGATE_THREADS: 'many' } }, 'TIDEGATE_THREADS', '"many"', '1 to 1024'],
    [{ file: file('cache-size: huge') }, 'cache-size in agent.yaml', '"huge"', 'a size'],
    [{ flags: { providers: 'gpu' } }, '--providers', '"gpu"', 'webgpu'],
    [{ flags: { hub: 'ftp://hub' } }, '--hub', '"ftp://hub"', 'http'],
    [{ flags: { logLevel: 'loud' } }, '--log-level', '"loud"', 'debug, info'],
    [{ flags: { defaultTimeout: '-1' } }, '--default-timeout', '"-1"', '1 to 3600000'],
  ])('names setting, value and what is allowed: %j', (part, setting, value, allowed) => {
    const { message } = errorOf(part);
    expect(message).toContain(setting);
    expect(message).toContain(value);
    expect(message).toContain(allowed);
  });

  it('refuses unknown settings in the environment and the file, naming those there are', () => {
    expect(errorOf({ environment: { TIDEGATE_HTTP_PROT: '1' } }).message).toMatch(
      /TIDEGATE_HTTP_PROT .*TIDEGATE_HTTP_PORT/,
    );
    expect(errorOf({ file: file('http-prot: 1') }).message).toMatch(/http-prot in agent.yaml .*http-port/);
    expect(errorOf({ file: file('- a list') }).message).toContain('agent.yaml');
    expect(errorOf({ file: file('a: [') }).message).toContain('not valid YAML');
    expect(read({ environment: { TIDEGATE_HOST: undefined, PATH: '/bin' } }).host).toBe('127.0.0.1');
  });

  it('opens no address beyond this machine without a token', () => {
    expect(errorOf({ flags: { host: '0.0.0.0' } }).message).toContain('--api-token');
    expect(read({ flags: { host: '0.0.0.0', apiToken: 'a-token-of-16-chars' } }).host).toBe('0.0.0.0');
    expect(errorOf({ flags: { apiToken: 'short' } }).message).not.toContain('short');
  });

  it('knows loopback', () => {
    expect(['127.0.0.1', '127.9.9.9', '::1', 'localhost', '[::1]'].every(isLoopback)).toBe(true);
    expect(['0.0.0.0', '127.evil.com', '::', 'localhost.evil.com', '10.0.0.1'].some(isLoopback)).toBe(false);
  });

  it('spells names alike everywhere', () => {
    expect(flagName('hubProbeInterval')).toBe('hub-probe-interval');
    expect(variableName('hubProbeInterval')).toBe('TIDEGATE_HUB_PROBE_INTERVAL');
  });
});
