/** The bytes of an .onnx file -> those of the same graph in operator set 11, or newer. Throws for what it doesn't know. */
export function raiseOperatorSet(bytes: Uint8Array): Uint8Array;
