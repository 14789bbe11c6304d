// CSV as spreadsheets and pandas write it (RFC 4180): commas, quotes that are doubled within quotes, LF or CRLF, an optional byte-order
// mark. Pure.

/** Rows of cells, each with the line in which it begins; empty lines are left out. Throws RangeError that names the line where quotes don't close or stand within a cell. */
export function parseCsv(text: string): { readonly line: number; readonly cells: readonly string[] }[] {
  const rows: { line: number; cells: string[] }[] = [];
  const source = text.startsWith('\ufeff') ? text.slice(1) : text;
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|\r|$)/y;
  let line = 1;
  let firstLine = line;
  let row: string[] = [];
  for (let at = 0; at <= source.length; at = cell.lastIndex) {
    cell.lastIndex = at;
    const match = cell.exec(source);
    if (match === null) throw new RangeError(`line ${line}: quotes that are not closed, or stand within a cell`);
    const [, quoted, bare = '', end] = match;
    row.push(quoted === undefined ? bare : quoted.replaceAll('""', '"'));
    line += (match[0].match(/\n|\r(?!\n)/g) ?? []).length;
    if (end === ',') continue;
    if (row.length > 1 || row[0] !== '') rows.push({ line: firstLine, cells: row });
    row = [];
    firstLine = line;
    if (end === '') break;
  }
  return rows;
}

/** One line without its end. */
export function csvLine(cells: readonly string[]): string {
  return cells.map((cell) => (/[",\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(',');
}
