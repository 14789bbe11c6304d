// The last guard before something leaves in a support bundle. What goes in is chosen piece by piece and holds no secrets; this
// takes out those that got there all the same, in a log line or an error. Pure.

const HIDDEN = '(hidden)';
/** Shorter values would take words out of sentences, and are no secrets that protect anything. */
const LEAST_SECRET = 6;

const PATTERNS: readonly [RegExp, string][] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, HIDDEN],
  [/\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}/gi, `$1 ${HIDDEN}`],
  [/\btg1\.[A-Za-z0-9._-]+/g, HIDDEN], // enrolment tokens
  [/(:\/\/)[^/\s:@"]*:[^/\s@"]*@/g, `$1${HIDDEN}@`], // user:password in an address
  [/((?:token|password|secret|api[-_]?key)["']?\s*[:=]\s*["']?)(?!\(hidden\))[^\s"',}&]{6,}/gi, `$1${HIDDEN}`],
];

/** `secrets`: values that are known, whatever they look like. */
export function redact(text: string, secrets: readonly string[]): string {
  const known = secrets
    .filter((secret) => secret.length >= LEAST_SECRET)
    .toSorted((a, b) => b.length - a.length)
    .reduce((before, secret) => before.replaceAll(secret, HIDDEN), text);
  return PATTERNS.reduce((before, [pattern, instead]) => before.replace(pattern, instead), known);
}
