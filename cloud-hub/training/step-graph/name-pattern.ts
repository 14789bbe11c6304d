// Patterns over the names of parameters (`conv*`, `layer?.weight`): `*` any characters, `?` one, the rest as it stands.

export function matchesPattern(pattern: string, name: string): boolean {
  // The pattern's own walk with one place to come back to: linear, where a regular expression of many stars is not.
  let [at, star, mark] = [0, -1, 0];
  for (let i = 0; i < name.length;) {
    if (at < pattern.length && pattern[at] === '*') {
      star = at;
      mark = i;
      at += 1;
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === name[i])) {
      at += 1;
      i += 1;
    } else if (star >= 0) {
      mark += 1;
      i = mark;
      at = star + 1;
    } else return false;
  }
  while (pattern[at] === '*') at += 1;
  return at === pattern.length;
}
