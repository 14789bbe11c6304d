// Types of shaped-link.mjs, for the test that uses it too.
export interface LinkShape {
  readonly roundTripMs: number;
  /** Each way. */
  readonly bytesPerSecond: number;
}

export interface ShapedLink {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  /** From now on; what is under way keeps its times. */
  shape: LinkShape;
  /** Ends every connection that there is. */
  cut(): void;
  close(): Promise<void>;
}

/** In front of the HTTP server at `target`. */
export function startShapedLink(target: string, shape: LinkShape): Promise<ShapedLink>;
