// The suites. Tests import sources (aliases below); executors always start from dist, so `tsc -b` runs before each suite.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (workspace: string): string => fileURLToPath(new URL(`./${workspace}/`, import.meta.url));
const alias = {
  '@tidegate/shared/': source('shared'),
  '@tidegate/edge-agent/': source('edge-agent'),
  '@tidegate/cloud-hub/': source('cloud-hub'),
};
// What is awaited by polling comes in milliseconds; a second, the default, is too short where a busy machine takes its time.
const patient = { expect: { poll: { timeout: 15_000 } } };
const slow = { ...patient, testTimeout: 120_000, hookTimeout: 120_000, fileParallelism: false, pool: 'forks' as const };

export default defineConfig({
  test: {
    projects: [
      {
        resolve: { alias },
        test: {
          name: 'unit',
          include: ['test/{shared,edge-agent,cloud-hub,conformance,examples}/**/*.test.ts', 'test/bench/*.test.mjs'],
          pool: 'forks',
          maxWorkers: 2, // one less than the cores is the default: on two cores, half the machine
          testTimeout: 20_000,
          hookTimeout: 30_000,
          ...patient,
        },
      },
      { resolve: { alias }, test: { name: 'tidy', include: ['test/tidy.test.ts'], testTimeout: 60_000 } },
      { resolve: { alias }, test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], ...slow } },
      { resolve: { alias }, test: { name: 'faults', include: ['test/faults/**/*.test.ts'], ...slow } },
      { resolve: { alias }, test: { name: 'gpu', include: ['test/gpu/**/*.test.ts'], ...slow, testTimeout: 300_000 } },
      { resolve: { alias }, test: { name: 'interop', include: ['test/interop/**/*.test.ts'], ...slow } },
    ],
  },
});
