// The provider ladder: an engine would throw, or quietly use the CPU, where a provider is missing (field lesson B18). So we
// climb down ourselves, one provider at a time, and keep the account of it: asked, tried, what runs, why.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Provider, type ProviderReport } from '../engine.js';
import { RuntimeError } from '../runtime-error.js';

/** Builds name CUDA as one of theirs although its provider is a library of its own, which is installed apart (docs/gpu.md). */
const PROVIDER_LIBRARIES: Partial<Record<Provider, Partial<Record<NodeJS.Platform, string>>>> = {
  cuda: { linux: 'libonnxruntime_providers_cuda.so', win32: 'onnxruntime_providers_cuda.dll' },
};

/** What there is to climb: the providers of the engine's build, and the folder of its libraries. */
export interface Rungs {
  readonly built: ReadonlySet<Provider>;
  readonly folder: string;
}

/** The rungs in order: what was asked for, each once, and the CPU at the end. */
export function rungsOf(asked: readonly Provider[]): Provider[] {
  return [...new Set(asked.filter((provider) => provider !== 'cpu')), 'cpu'];
}

/** Why a provider can't even be tried, or undefined where it can. */
export function unavailable(provider: Provider, { built, folder }: Rungs): string | undefined {
  if (!built.has(provider)) return `this build of ONNX Runtime has no ${provider} provider on this platform`;
  const library = PROVIDER_LIBRARIES[provider]?.[process.platform];
  if (library === undefined || existsSync(join(folder, library))) return undefined;
  return `the ${provider} provider is not installed: there is no ${library} in ${folder} (docs/gpu.md says how to install it)`;
}

/** The account for what runs after `tried` failed. */
export function providerReport(
  asked: readonly Provider[],
  tried: ProviderReport['tried'],
  runs: Provider,
): ProviderReport {
  const failed = tried.map(({ provider, error }) => `${provider}: ${error}`).join('; ');
  const reason = tried.length > 0 ? `fell back to ${runs}; ${failed}` : asked.includes(runs) ? 'asked for' : 'default';
  return { asked: [...asked], tried: [...tried], runs, reason };
}

/**
 * Tries `attempt` rung by rung. Rejects with RuntimeError `load-failed` and the last rung's message where none holds;
 * an error with another code (cancelled) ends the climb.
 */
export async function climb<T>(
  asked: readonly Provider[],
  there: Rungs,
  attempt: (provider: Provider) => Promise<T>,
): Promise<{ readonly result: T; readonly report: ProviderReport }> {
  const tried: { provider: Provider; error: string }[] = [];
  let last: unknown;
  for (const provider of rungsOf(asked)) {
    const missing = unavailable(provider, there);
    if (missing !== undefined) {
      tried.push({ provider, error: missing });
      last = new Error(missing);
      continue;
    }
    try {
      return { result: await attempt(provider), report: providerReport(asked, tried, provider) };
    } catch (cause) {
      if (cause instanceof RuntimeError && cause.code !== 'load-failed') throw cause;
      tried.push({ provider, error: messageOf(cause) });
      last = cause;
    }
  }
  throw new RuntimeError('load-failed', messageOf(last), { cause: last });
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim();
}
