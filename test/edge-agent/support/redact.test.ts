import { expect, it } from 'vitest';
import { redact } from '@tidegate/edge-agent/support/redact.js';

it('takes out known secrets, and what looks like one', () => {
  expect(redact('of s3cret-value and s3cret-value-longer', ['s3cret-value', 's3cret-value-longer'])).toBe(
    'of (hidden) and (hidden)',
  );
  expect(redact('authorization: Bearer abc.def-123', [])).toBe('authorization: Bearer (hidden)');
  expect(redact('enrol with tg1.eyJhIjoxfQ now', [])).toBe('enrol with (hidden) now');
  expect(redact('https://user:pass@hub.example/x', [])).toBe('https://(hidden)@hub.example/x');
  expect(redact('{"apiToken":"abcdef123","n":1}', [])).toBe('{"apiToken":"(hidden)","n":1}');
  const pem = '-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----';
  expect(redact(`a ${pem} b`, [])).toBe('a (hidden) b');
});

it('leaves the rest as it is', () => {
  const text = 'https://hub.example:9443/v2 tokens 12, waited 3.2 ms, sha256:ab12, 12:03:04.005 info';
  expect(redact(text, ['', 'ms'])).toBe(text);
});
