// The architecture, checked: import directions, doors, cycles, dead files and exports, undeclared imports, the agent's
// production packages, and that each source has a test. Rules that are not checked are not rules (docs/architecture.md).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageOf, readJson, ROOT, sourcesOf, WORKSPACES, type Source } from './support/source-tree.js';

const sources = WORKSPACES.flatMap((workspace) => sourcesOf(workspace));
const tests = sourcesOf('test');
const byPath = new Map(sources.map((source) => [source.path, source]));

/** What starts on its own: binaries, processes, the console's page. */
const ENTRY_POINTS = [
  'edge-agent/main.ts',
  'cloud-hub/main.ts',
  'cloud-hub/cli/main.ts',
  'cloud-hub/optimizer/build-graph-worker.ts',
  'shared/runtime/executor/main.ts',
  'cloud-hub/training/job-process/main.ts',
  'cloud-hub/console/main.tsx',
  'cloud-hub/console/vite.config.ts',
];

/** Packages that only certain folders may import (style.md, Few doors). */
const DOORS: Readonly<Record<string, readonly string[]>> = {
  'onnxruntime-node': ['shared/runtime/executor/'],
  koffi: ['shared/runtime/executor/', 'shared/runtime/posix-child.ts'],
  sharp: ['shared/steps/decode-image.ts'],
  'tuf-js': ['shared/tuf/'],
  '@tufjs/models': ['cloud-hub/security/'],
  '@peculiar/x509': ['cloud-hub/security/'],
  mqtt: ['edge-agent/sync/'],
  aedes: ['cloud-hub/broker/'],
  'better-sqlite3': ['edge-agent/state/', 'cloud-hub/storage/sqlite/'],
  ws: ['cloud-hub/api/', 'edge-agent/api/'],
  '@grpc/grpc-js': ['shared/serving/grpc/'],
  fastify: ['cloud-hub/api/'],
  preact: ['cloud-hub/console/'],
  uplot: ['cloud-hub/console/'],
  commander: [
    'edge-agent/cli/',
    'edge-agent/main.ts',
    'cloud-hub/cli/',
    'cloud-hub/main.ts',
    'cloud-hub/config/',
    'shared/system/',
  ],
};

const within = (path: string, places: readonly string[]): boolean =>
  places.some((place) => path === place || (place.endsWith('/') && path.startsWith(place)));

describe('the architecture', () => {
  it('is really read', () => {
    expect(sources.length).toBeGreaterThan(100);
    expect(sources.flatMap((s) => s.imports).length).toBeGreaterThan(400);
  });

  it('keeps import directions: agent and hub never meet, shared knows neither', () => {
    const wrong = sources.flatMap((source) =>
      source.imports
        .filter(({ file }) => file !== undefined && !allowed(source.path, file))
        .map(({ file }) => `${source.path} imports ${file}`),
    );
    expect(wrong).toEqual([]);
  });

  it('keeps the doors', () => {
    const wrong = sources.flatMap((source) =>
      source.imports.flatMap(({ specifier, typeOnly }) => {
        const door = DOORS[packageOf(specifier) ?? ''];
        return door === undefined || typeOnly || within(source.path, door)
          ? []
          : [`${source.path} imports ${specifier}`];
      }),
    );
    expect(wrong).toEqual([]);
  });

  it("keeps zod out of the console's page: it evaluates code, which the page's policy forbids, and is most of its bytes", () => {
    const inPage = new Set<string>();
    const visit = (path: string): void => {
      if (inPage.has(path)) return;
      inPage.add(path);
      for (const { file, typeOnly } of byPath.get(path)?.imports ?? [])
        if (file !== undefined && !typeOnly) visit(file);
    };
    visit('cloud-hub/console/main.tsx');
    const bringsZod = (path: string): boolean =>
      byPath.get(path)?.imports.some(({ specifier, typeOnly }) => specifier === 'zod' && !typeOnly) === true;
    expect([...inPage].filter(bringsZod)).toEqual([]);
  });

  it('has no import cycles', () => {
    expect(cycles()).toEqual([]);
  });

  it('has no dead files', () => {
    const alive = new Set<string>();
    const visit = (path: string): void => {
      if (alive.has(path)) return;
      alive.add(path);
      for (const { file } of byPath.get(path)?.imports ?? []) if (file !== undefined) visit(file);
    };
    ENTRY_POINTS.forEach(visit);
    expect(sources.map((s) => s.path).filter((path) => !alive.has(path))).toEqual([]);
  });

  it('has no dead exports', () => {
    const texts = [...sources, ...tests].map(({ path, text }) => ({
      path,
      words: new Set(text.match(/[A-Za-z0-9_$]+/g)),
    }));
    const dead = sources.flatMap(({ path, exports }) =>
      exports
        .filter((name) => !texts.some((other) => other.path !== path && other.words.has(name)))
        .map((name) => `${path}: ${name}`),
    );
    expect(dead).toEqual([]);
  });

  it('imports only what its own package.json declares', () => {
    const wrong = WORKSPACES.flatMap((workspace) => {
      const manifest = readJson(`${workspace}/package.json`) as Record<string, Record<string, string> | undefined>;
      const production = new Set(Object.keys(manifest['dependencies'] ?? {}));
      const development = new Set(Object.keys(manifest['devDependencies'] ?? {}));
      return sources
        .filter((source) => source.path.startsWith(`${workspace}/`))
        .flatMap((source) =>
          source.imports.flatMap(({ specifier, typeOnly }) => {
            const name = packageOf(specifier);
            if (name === undefined || production.has(name)) return [];
            const builtAhead = typeOnly || source.path.startsWith('cloud-hub/console/');
            return builtAhead && development.has(name) ? [] : [`${source.path} imports ${specifier}`];
          }),
        );
    });
    expect(wrong).toEqual([]);
  });

  it('pins every version', () => {
    const loose = ['.', ...WORKSPACES].flatMap((workspace) => {
      const manifest = readJson(`${workspace}/package.json`) as Record<string, Record<string, string> | undefined>;
      return Object.entries({ ...manifest['dependencies'], ...manifest['devDependencies'] })
        .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
        .map(([name, version]) => `${workspace}: ${name}@${version}`);
    });
    expect(loose).toEqual([]);
  });

  it('ships to devices exactly the packages that docs/agent-dependencies.md lists with a reason', () => {
    const documented = [
      ...readFileSync(join(ROOT, 'docs/agent-dependencies.md'), 'utf8').matchAll(/^\| `([^`]+)` \| (.+?) \|/gm),
    ];
    expect(documented.every((row) => (row[2] ?? '').trim().length > 3)).toBe(true);
    expect(documented.map((row) => row[1]).sort()).toEqual(agentPackages());
  });

  it('tests each source: a mirror, or a test that imports it', () => {
    const imported = new Set(tests.flatMap((test) => test.imports.map(({ file }) => file)));
    const mirrors = new Set(tests.map(({ path }) => path));
    const untested = sources.filter(
      (source) =>
        hasRuntimeCode(source) &&
        !source.path.startsWith('cloud-hub/console/') &&
        !mirrors.has(`test/${source.path.replace(/\.ts$/, '.test.ts')}`) &&
        !imported.has(source.path) &&
        !testedThrough(source, imported),
    );
    expect(untested.map((s) => s.path)).toEqual([]);
  });

  it('names files in kebab-case, by a noun or verb, and opens each with prose', () => {
    const vague = /(^|[-/])(utils?|helpers?|common|manager|misc|index)(\.|-|\/)/;
    expect(sources.map((s) => s.path).filter((path) => vague.test(path) || !/^[a-z0-9./-]+$/.test(path))).toEqual([]);
    expect(sources.filter((s) => !/^(#!.*\n)?(\/\/|\/\*)/.test(s.text)).map((s) => s.path)).toEqual([]);
  });

  it('keeps files under 500 lines', () => {
    const long = sources.filter((s) => s.text.split('\n').length > 500).map((s) => s.path);
    expect(long).toEqual([]);
  });
});

function allowed(from: string, to: string): boolean {
  const [fromWorkspace] = from.split('/');
  const [toWorkspace] = to.split('/');
  if (from.startsWith('cloud-hub/console/'))
    return to.startsWith('cloud-hub/console/') || to.startsWith('shared/wire/');
  if (from === 'cloud-hub/cli/main.ts' || from.startsWith('cloud-hub/cli/')) {
    // The operator's command line speaks to a hub over its API; it never reaches into one.
    if (toWorkspace === 'cloud-hub') return to.startsWith('cloud-hub/cli/');
  }
  if (fromWorkspace !== toWorkspace) return toWorkspace === 'shared';
  // Composition roots import domains, never the other way round.
  const roots = ['edge-agent/agent.ts', 'edge-agent/main.ts', 'cloud-hub/hub.ts', 'cloud-hub/main.ts'];
  const shells = [
    'edge-agent/cli/',
    'edge-agent/main.ts',
    'cloud-hub/main.ts',
    'cloud-hub/hub.ts',
    'edge-agent/agent.ts',
  ];
  return !roots.includes(to) || within(from, shells);
}

function hasRuntimeCode(source: Source): boolean {
  if (ENTRY_POINTS.includes(source.path)) return false;
  return (
    /^(export )?(async )?(function|class|abstract class)\b/m.test(source.text) ||
    /=>/.test(source.text.replace(/^.*interface[\s\S]*?^}/gm, ''))
  );
}

/** A file that only its own folder uses is tested through the one that a test imports. */
function testedThrough(source: Source, imported: ReadonlySet<string | undefined>, depth = 0): boolean {
  if (depth > 4) return false;
  const folder = source.path.slice(0, source.path.lastIndexOf('/'));
  return sources.some(
    (other) =>
      other.path.startsWith(folder) &&
      other !== source &&
      other.imports.some(({ file, typeOnly }) => file === source.path && !typeOnly) &&
      (imported.has(other.path) || testedThrough(other, imported, depth + 1)),
  );
}

function cycles(): string[] {
  const state = new Map<string, 'open' | 'done'>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      found.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
      return;
    }
    state.set(path, 'open');
    for (const { file, typeOnly } of byPath.get(path)?.imports ?? []) {
      if (file !== undefined && !typeOnly && byPath.has(file)) visit(file, [...trail, path]);
    }
    state.set(path, 'done');
  };
  for (const { path } of sources) visit(path, []);
  return found;
}

interface LockedPackage {
  readonly dependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
}

/** Names of all production packages of the agent: the closure over the lock file, platform binaries left out. */
function agentPackages(): string[] {
  const { packages } = readJson('package-lock.json') as { packages: Record<string, LockedPackage> };
  const names = new Set<string>();
  const visit = (place: string): void => {
    for (const name of Object.keys(packages[place]?.dependencies ?? {})) {
      if (name.startsWith('@tidegate/')) {
        visit(name.replace('@tidegate/', ''));
        continue;
      }
      const nested = `${place}/node_modules/${name}`;
      const at = packages[nested] === undefined ? `node_modules/${name}` : nested;
      if (packages[at] === undefined) continue;
      if (names.has(name)) continue;
      names.add(name);
      visit(at);
    }
  };
  visit('edge-agent');
  return [...names].sort();
}
