// The page's side of the engine: starting it, asking it, and ending it with its thread.

/** What the engine, or the browser around it, refused. `why` says which remedy the page offers. */
export class EngineError extends Error {
  constructor(message, why = 'engine') {
    super(message);
    this.why = why;
  }
}

/** Someone asked for the end. */
export class Stopped extends Error {}

/**
 * One running engine. `listener` gets what happens unasked: `progress` with bytes, `starting`,
 * `gpu`, `log` with a line of the engine's, `lost` when the GPU went away.
 */
export class Engine {
  #worker;
  #waiting = new Map();
  #listener;
  #onPiece;
  #last = 0;

  constructor(listener) {
    this.#listener = listener;
    this.#worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
    this.#worker.onmessage = ({ data }) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#failAll(new EngineError(event.message || "The engine's thread did not start.", 'served'));
    };
  }

  /** Loads the bundle; returns `startMs`. */
  load(options) {
    return this.#ask('load', options);
  }

  /** Counts the tokens of each text, without the start token. */
  async sizes(texts) {
    return (await this.#ask('sizes', { texts })).sizes;
  }

  /** Streams an answer to `onPiece(text, ms)`; returns `totalMs`. */
  async generate(prompt, onPiece) {
    this.#onPiece = onPiece;
    try {
      return await this.#ask('generate', { prompt });
    } finally {
      this.#onPiece = undefined;
    }
  }

  /** Ends the engine whatever it does; all that waits for it is told `Stopped`. */
  end() {
    this.#worker.terminate();
    this.#onPiece = undefined;
    this.#listener = () => {};
    this.#failAll(new Stopped('the engine was ended'));
  }

  #ask(operation, options) {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, operation, ...options });
    });
  }

  #receive(data) {
    if (data.kind === 'piece') this.#onPiece?.(data.text, data.ms);
    else if (data.kind) this.#listener(data);
    else {
      const { resolve, reject } = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.error) reject(new EngineError(data.error.message, data.error.why));
      else resolve(data.result);
    }
  }

  #failAll(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
