import {
  SettingsError,
  anyText,
  bytesText,
  choiceText,
  flagName,
  headersText,
  readSettings,
  setting,
  shareText,
  variableName,
  weightsText,
  wholeText,
  type Setting,
  type SettingsSources,
} from '@tidegate/shared/system/settings.js';
import { describe, expect, test } from 'vitest';

const LEVEL: Setting<'low' | 'high'> & { readonly fallback: string } = {
  schema: choiceText('low', 'high'),
  fallback: 'low',
  placeholder: 'L',
  allowed: 'low or high',
  description: '',
};
const TABLE = {
  httpPort: setting({
    schema: wholeText(0, 65_535),
    fallback: '9000',
    placeholder: 'PORT',
    allowed: '0 to 65535',
    description: '',
  }),
  size: setting({ schema: bytesText, fallback: '1MiB', placeholder: 'BYTES', allowed: 'a size', description: '' }),
  level: LEVEL,
  secretToken: setting({
    schema: wholeText(5, 6),
    fallback: undefined,
    placeholder: 'T',
    allowed: 'a token',
    description: '',
    secret: true,
  }),
  name: setting({ schema: anyText, fallback: undefined, placeholder: 'N', allowed: 'a name', description: '' }),
};
const read = (sources: Partial<SettingsSources>) => readSettings(TABLE, { flags: {}, environment: {}, ...sources });
const error = (sources: Partial<SettingsSources>): SettingsError => {
  try {
    read(sources);
  } catch (cause) {
    if (cause instanceof SettingsError) return cause;
    throw cause;
  }
  throw new Error('was taken');
};

describe('where a value comes from', () => {
  test('flag, then environment, then file, then the fallback', () => {
    const file = { path: 'c.yaml', text: 'http-port: 1\nlevel: high\nsize: 3KB\n' };
    const environment = { TIDEGATE_HTTP_PORT: '2', TIDEGATE_SIZE: '2KiB', OTHER: 'x' };
    const settings = read({ flags: { httpPort: '3' }, environment, file });
    expect(settings).toEqual({ httpPort: 3, size: 2048, level: 'high', secretToken: undefined, name: undefined });
    expect(read({})).toMatchObject({ httpPort: 9000, size: 1024 ** 2, level: 'low' });
  });

  test('names', () => {
    expect([flagName('httpPort'), variableName('httpPort')]).toEqual(['http-port', 'TIDEGATE_HTTP_PORT']);
  });

  test.each([
    ['512MiB', 512 * 1024 ** 2],
    ['64MB', 64e6],
    ['1.5 GiB', 1.5 * 1024 ** 3],
    ['10', 10],
  ])('%s is %i bytes', (text, size) => expect(read({ flags: { size: text } }).size).toBe(size));
});

test('weights by name; a name may hold what separates others', () => {
  expect([...weightsText.parse('camera=3, token:a=b=0.5,')]).toEqual([
    ['camera', 3],
    ['token:a=b', 0.5],
  ]);
  expect(weightsText.parse('').size).toBe(0);
  for (const wrong of ['camera', 'camera=0', 'camera=-1', '=3', 'a=1001', 'a=1,a=2', 'a=1.2.3']) {
    expect(weightsText.safeParse(wrong).success, wrong).toBe(false);
  }
});

describe('a wrong setting stops the start with its name, value, place and what is allowed', () => {
  test.each([
    [{ flags: { httpPort: '70000' } }, 'http-port', /--http-port: "70000".*0 to 65535/],
    [{ environment: { TIDEGATE_LEVEL: 'mid' } }, 'level', /TIDEGATE_LEVEL: "mid".*low or high/],
    [{ file: { path: 'c.yaml', text: 'size: big' } }, 'size', /size in c\.yaml: "big"/],
    [{ file: { path: 'c.yaml', text: 'colour: blue' } }, 'colour', /colour in c\.yaml is not a setting.*http-port/],
    [{ file: { path: 'c.yaml', text: 'size: {a: 1}' } }, 'size', /must be one value/],
    [{ file: { path: 'c.yaml', text: '- a' } }, 'config', /must hold lines/],
    [{ file: { path: 'c.yaml', text: 'a: [' } }, 'config', /not valid YAML/],
    [{ environment: { TIDEGATE_TYPO: 'x' } }, 'TIDEGATE_TYPO', /not a setting.*TIDEGATE_HTTP_PORT/],
  ])('%j', (sources, name, message) => {
    const found = error(sources);
    expect(found.setting).toBe(name);
    expect(found.message).toMatch(message);
  });

  test('a secret is not shown', () => {
    expect(error({ flags: { secretToken: '123456789' } }).message).not.toContain('123456789');
  });

  test('variables of other programs are not ours to judge', () => {
    expect(read({ environment: { TIDEGATE_TOKEN: 'x' }, foreignVariables: ['TIDEGATE_TOKEN'] }).httpPort).toBe(9000);
  });

  test('an empty file is no settings', () => {
    expect(read({ file: { path: 'c.yaml', text: '' } }).httpPort).toBe(9000);
  });
});

test('a share is a number from 0 to 1', () => {
  expect(['0', '0.25', '.5', '1'].map((text) => shareText.parse(text))).toEqual([0, 0.25, 0.5, 1]);
  for (const text of ['', '1.1', '-1', '1e-3', 'all']) expect(shareText.safeParse(text).success).toBe(false);
});

test('headers are a list of names and percent-encoded values', () => {
  const given = 'Authorization=Basic%20dGU6c3Q=, x-scope=a%2Cb';
  expect(headersText.parse(given)).toEqual({ authorization: 'Basic dGU6c3Q=', 'x-scope': 'a,b' });
  for (const text of ['', 'authorization', 'a b=c', 'a=%', 'a=%0d%0ahost: b'])
    expect(headersText.safeParse(text).success).toBe(false);
});
