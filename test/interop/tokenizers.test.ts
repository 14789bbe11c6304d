// The step `tokenise` against Hugging Face's own Python package: eleven kinds of tokenizers, texts in many scripts.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { readTokenizer } from '@tidegate/shared/tokenizer/read-tokenizer.js';
import { describeWithPython, pythonEnvironment } from './python-environment.js';

const run = promisify(execFile);
const MAKE_TIMEOUT_MS = 420_000;
const SCRIPT = fileURLToPath(new URL('./python/tokenizers_reference.py', import.meta.url));
const TEXTS = 2000;
const SEED = 20;

interface Cases {
  readonly texts: readonly string[];
  readonly results: Readonly<Record<string, Readonly<Record<'alone' | 'pairs' | 'types', readonly number[][]>>>>;
}

await describeWithPython('tokenise', 'tokenizers 0.23.3', (python) => {
  test(
    `${TEXTS} texts, alone and in pairs, give the same tokens`,
    async () => {
      const interpreter = await pythonEnvironment(python, 'tokenizers');
      const folder = await mkdtemp(join(tmpdir(), 'tidegate-tokenizers-'));
      try {
        await run(interpreter, [SCRIPT, folder, String(TEXTS), String(SEED)], { timeout: 100_000 });
        const { texts, results } = JSON.parse(await readFile(join(folder, 'cases.json'), 'utf8')) as Cases;
        for (const [name, wanted] of Object.entries(results)) {
          const tokenizer = await readTokenizer(await readFile(join(folder, `${name}.json`)));
          const whole = { maxLength: 1_000_000, addSpecialTokens: true };
          const alone = texts.map((text) => tokenizer.encode(text, undefined, whole).ids);
          const short = { maxLength: 24, addSpecialTokens: true };
          const pairs = texts.map((text, at) => tokenizer.encode(text, texts.at(at - 1), short));
          const wrong = texts.filter(
            (_, at) =>
              String(alone[at]) !== String(wanted.alone[at]) ||
              String(pairs[at]?.ids) !== String(wanted.pairs[at]) ||
              String(pairs[at]?.typeIds) !== String(wanted.types[at]),
          );
          expect({ name, wrong }).toEqual({ name, wrong: [] });
        }
        expect(Object.keys(results)).toHaveLength(11);
        console.log(
          `tokenizers 0.23.3: ${Object.keys(results).length} tokenizers x ${texts.length} texts and pairs are equal`,
        );
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    MAKE_TIMEOUT_MS,
  );
});
