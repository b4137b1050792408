// MediaPipe's engine in a thread of its own, where it can be ended: once it decodes it goes on to
// a stop token or the end of its cache and heeds no cancellation (seen with 0.10.29).

import { FilesetResolver, LlmInference } from './engine/genai_bundle.mjs';

const here = (path) => new URL(path, import.meta.url).href;
let engine;

// The engine tells its reasons in log lines (a letter, a date) and on stderr. What tells something
// goes to the page, the rest nowhere.
const TELLING = /^([WEF]\d{4} |ERROR|FATAL|Aborted|[A-Z][A-Z0-9_]+: )|not supported|will run on/;
for (const level of ['debug', 'log', 'info', 'warn', 'error']) {
  console[level] = (...words) => {
    const text = words.map(String).join(' ');
    if (level === 'warn' || level === 'error' || TELLING.test(text)) {
      postMessage({ kind: 'log', text });
    }
  };
}

const failure = (message, why) => Object.assign(new Error(message), { why });

/** Downloads the bundle into one piece of memory and tells how far it is. */
async function download(bytes) {
  const response = await fetch(here('bundle.task'), { cache: 'no-store' }).catch((error) => {
    throw failure(`The bundle was not served: ${error.message}.`, 'served');
  });
  if (!response.ok) throw failure(`The bundle was not served: ${response.status}.`, 'served');
  const whole = new Uint8Array(bytes);
  let filled = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      throw failure(`The bundle ended after ${filled} of ${bytes} bytes: ${error.message}.`, 'served');
    });
    if (done) break;
    whole.set(value, filled);
    filled += value.length;
    postMessage({ kind: 'progress', bytes: filled });
  }
  return whole;
}

async function openGpu() {
  if (!navigator.gpu) throw failure('This browser has no WebGPU.', 'no-webgpu');
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw failure('This browser finds no GPU that WebGPU can use.', 'no-adapter');
  const device = await LlmInference.createWebGpuDevice();
  device.lost.then(({ reason, message }) => {
    postMessage({ kind: 'lost', message: `${message || 'no reason given'} (${reason})` });
  });
  const { vendor, architecture, description, device: name } = device.adapterInfo;
  return {
    device,
    gpu: {
      name: description || [vendor, name || architecture].filter(Boolean).join(' ') || 'unnamed',
      details: { vendor, architecture, device: name, description },
      software: Boolean(device.adapterInfo.isFallbackAdapter) || architecture === 'swiftshader',
      float16: device.features.has('shader-f16'),
    },
  };
}

async function load({ bytes, maxTokens, temperature, topK, seed, forceF32 }) {
  const { device, gpu } = await openGpu();
  postMessage({ kind: 'gpu', gpu });
  // Given a URL, the engine looks at the file's type on one branch of a split stream while it loads
  // from the other, and now and then the two collide. It gets the bytes.
  const modelAssetBuffer = await download(bytes);
  postMessage({ kind: 'starting' });
  const started = performance.now();
  engine = await LlmInference.createFromOptions(
    await FilesetResolver.forGenAiTasks(here('engine/wasm'), true),
    {
      baseOptions: { modelAssetBuffer, gpuOptions: { device, adapterInfo: device.adapterInfo } },
      maxTokens,
      temperature,
      topK,
      randomSeed: seed,
      forceF32,
    },
  );
  return { startMs: performance.now() - started };
}

/** Counts tokens as the engine's tokenizer does, without the start token. */
function sizes({ texts }) {
  return {
    sizes: texts.map((text) => {
      const size = text ? engine.sizeInTokens(text) : 0;
      if (size === undefined) throw new Error('The engine could not count tokens.');
      return size;
    }),
  };
}

/** Streams an answer; times are from the call on, in milliseconds of this thread's clock. */
async function generate({ prompt }) {
  const started = performance.now();
  await engine.generateResponse(prompt, (text, done) => {
    if (text) postMessage({ kind: 'piece', text, ms: performance.now() - started });
  });
  return { totalMs: performance.now() - started };
}

const OPERATIONS = { load, sizes, generate };

self.onmessage = async ({ data: { id, operation, ...options } }) => {
  try {
    postMessage({ id, result: await OPERATIONS[operation](options) });
  } catch (error) {
    const message = error?.message ?? String(error);
    postMessage({ id, error: { message, why: error?.why ?? 'engine' } });
  }
};
