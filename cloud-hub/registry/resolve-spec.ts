// MODEL@SPEC, where SPEC is a version's number, its label, or the beginning of its digest (contract.md). Tried in this order: an
// exact number, an exact label, a digest's beginning of at least four digits. So a label that looks like a number can be
// reached only where no such number exists; publishing refuses such labels.
import { RegistryError } from './registry-error.js';

interface Candidate {
  readonly version: number;
  readonly label: string | null;
  readonly digest: string;
}

const LEAST_DIGEST_DIGITS = 4;

/** Undefined where nothing fits; RegistryError `ambiguous` where several do. */
export function resolveSpec<T extends Candidate>(model: string, spec: string, candidates: readonly T[]): T | undefined {
  if (/^[1-9][0-9]{0,15}$/.test(spec)) {
    const byNumber = candidates.find((candidate) => candidate.version === Number(spec));
    if (byNumber !== undefined) return byNumber;
  }
  const byLabel = candidates.find((candidate) => candidate.label === spec);
  if (byLabel !== undefined) return byLabel;
  const hex = /^(?:sha256:)?([0-9a-f]{4,64})$/.exec(spec)?.[1];
  if (hex === undefined || hex.length < LEAST_DIGEST_DIGITS) return undefined;
  const fitting = candidates.filter((candidate) => candidate.digest.startsWith(`sha256:${hex}`));
  if (fitting.length > 1) {
    const found = fitting.map((candidate) => `${model}@${candidate.version} (${candidate.digest})`).join(', ');
    throw new RegistryError('ambiguous', `${model}@${spec} is the beginning of several digests: ${found}`, {
      field: 'version',
    });
  }
  return fitting[0];
}

/** Why a label can't be one; undefined where it can. */
export function labelProblem(label: string): string | undefined {
  if (!/^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/.test(label)) {
    return `the label ${JSON.stringify(label)} must be 1 to 64 of A-Z a-z 0-9 . _ + - and begin with a letter or digit`;
  }
  if (/^[0-9]+$/.test(label)) return `the label ${label} would be taken for a version number; write e.g. v${label}`;
  return undefined;
}
