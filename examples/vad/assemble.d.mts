export function graphPath(release: 'v5' | 'v6'): string;
export function assemble(folder: string, release?: 'v5' | 'v6'): Promise<string>;
