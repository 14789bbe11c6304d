/** Writes the package into `folder`, which is made where it isn't there; returns `folder`. */
export function assemble(folder: string): Promise<string>;
