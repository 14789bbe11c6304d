// The provider ladder: an engine would throw, or quietly use the CPU, where a provider is missing (field lesson B18). So we
// climb down ourselves, one provider at a time, and keep the account of it: asked, tried, what runs, why.
import { type Provider, type ProviderReport } from '../engine.js';
import { RuntimeError } from '../runtime-error.js';

/** The rungs in order: what was asked for, each once, and the CPU at the end. */
export function rungsOf(asked: readonly Provider[]): Provider[] {
  return [...new Set(asked.filter((provider) => provider !== 'cpu')), 'cpu'];
}

/** Why a provider can't even be tried, or undefined where it can. `available` is what the engine's build has. */
export function unavailable(provider: Provider, available: ReadonlySet<Provider>): string | undefined {
  // Builds name CUDA as one of theirs although the provider's library and CUDA's own are a separate download.
  if (provider === 'cuda') return 'the CUDA provider is not installed with this release';
  if (available.has(provider)) return undefined;
  return `this build of ONNX Runtime has no ${provider} provider on this platform`;
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
  available: ReadonlySet<Provider>,
  attempt: (provider: Provider) => Promise<T>,
): Promise<{ readonly result: T; readonly report: ProviderReport }> {
  const tried: { provider: Provider; error: string }[] = [];
  let last: unknown;
  for (const provider of rungsOf(asked)) {
    const missing = unavailable(provider, available);
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
