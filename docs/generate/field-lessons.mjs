// Fills the column `tests` of docs/field-lessons.md: the test files that quote the row's number in a test's name, like (B4).
// node docs/generate/field-lessons.mjs
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const page = join(root, 'docs', 'field-lessons.md');

function walk(folder) {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return name === '.venv' ? [] : walk(path);
    return path.endsWith('.test.ts') ? [path] : [];
  });
}

const tests = new Map();
for (const file of walk(join(root, 'test'))) {
  const names =
    readFileSync(file, 'utf8').match(/\b(?:it|test|describe)(?:\.\w+)*(?:\([^)]*\))?\(\s*['"`][^\n]*/g) ?? [];
  for (const number of new Set(names.join('\n').match(/\bB\d+\b/g) ?? [])) {
    tests.set(number, [...(tests.get(number) ?? []), relative(root, file)]);
  }
}

const lines = readFileSync(page, 'utf8')
  .split('\n')
  .map((line) => {
    const number = /^\| (B\d+) \|/.exec(line)?.[1];
    if (number === undefined) return line;
    const cells = line.split(' | ').slice(0, 4);
    const listed = (tests.get(number) ?? []).sort().map((path) => `\`${path}\``);
    return `${cells.join(' | ')} | ${listed.length === 0 ? 'not yet' : listed.join('<br>')} |`;
  });
writeFileSync(page, lines.join('\n'));
console.log(`${tests.size} lessons have tests`);
