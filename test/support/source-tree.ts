// Reads the project's sources as text for the architecture test: files, imports, exports. Text is enough: the house style has
// one import form, and a parser would be one more thing to trust.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url)).replace(/\/$/, '');
export const WORKSPACES = ['shared', 'edge-agent', 'cloud-hub'] as const;

const SKIPPED = new Set(['node_modules', 'dist', '.venv', 'results', '.git']);

export interface Import {
  /** As written. */
  readonly specifier: string;
  /** Path from the root where it is one of ours; undefined for a package or a node: module. */
  readonly file: string | undefined;
  readonly typeOnly: boolean;
}

export interface Source {
  /** From the root: `shared/tensor/tensor.ts`. */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
  /** Names exported here, types too. */
  readonly exports: readonly string[];
}

function walk(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    if (SKIPPED.has(name)) return [];
    const path = join(folder, name);
    return statSync(path).isDirectory() ? walk(path) : [path];
  });
}

/** All `.ts` and `.tsx` files below a folder of the root. */
export function sourcesOf(folder: string): Source[] {
  return walk(join(ROOT, folder))
    .filter((path) => /\.tsx?$/.test(path) && !path.endsWith('.d.ts'))
    .map((path) => readSource(relative(ROOT, path)));
}

function readSource(path: string): Source {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const imports: Import[] = [];
  const from = /(?:^|\n)\s*(import|export)(\s+type)?\s[^'";]*?from\s+'([^']+)'/g;
  for (const match of text.matchAll(from)) {
    imports.push({ specifier: match[3] ?? '', file: resolve(path, match[3] ?? ''), typeOnly: match[2] !== undefined });
  }
  for (const match of text.matchAll(
    /(?:^|\n)\s*import\s+'([^']+)'|\bimport\(\s*'([^']+)'\s*\)|require\('([^']+)'\)/g,
  )) {
    const specifier = match[1] ?? match[2] ?? match[3] ?? '';
    imports.push({ specifier, file: resolve(path, specifier), typeOnly: false });
  }
  const exports = [
    ...text.matchAll(
      /^export (?:declare )?(?:abstract )?(?:async )?(?:const|let|function\*?|class|interface|type|enum) ([A-Za-z0-9_$]+)/gm,
    ),
  ].map((match) => match[1] ?? '');
  return { path, text, imports, exports };
}

function resolve(from: string, specifier: string): string | undefined {
  const workspace = /^@tidegate\/([^/]+)\/(.+)$/.exec(specifier);
  const target = workspace
    ? `${workspace[1]}/${workspace[2]}`
    : specifier.startsWith('.')
      ? normalize(join(dirname(from), specifier))
      : undefined;
  if (target === undefined) return undefined;
  for (const extension of ['.ts', '.tsx']) {
    const candidate = target.replace(/\.jsx?$/, extension);
    try {
      if (statSync(join(ROOT, candidate)).isFile()) return candidate;
    } catch {
      continue; // not this extension
    }
  }
  return target;
}

/** `@scope/name` or `name` of a package import; undefined for ours and node's own. */
export function packageOf(specifier: string): string | undefined {
  if (specifier.startsWith('.') || specifier.startsWith('node:') || specifier.startsWith('@tidegate/'))
    return undefined;
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? `${parts[0]}/${parts[1]}` : parts[0];
}

export function readJson(path: string): unknown {
  return JSON.parse(readFileSync(join(ROOT, path), 'utf8'));
}
