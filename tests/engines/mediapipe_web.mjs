// Opens a .task bundle with MediaPipe's own LLM engine in headless Chromium and generates.
//
//   echo '["ROMEO:\n"]' | node mediapipe_web.mjs BUNDLE --max-tokens 512 --output-tokens 32
//
// Prompts come as a JSON list on stdin. Exactly one JSON object goes to stdout: the texts and
// what the engine had to say, or {"error": ...} and exit status 1. WebGPU runs on SwiftShader,
// so neither a graphics card nor a display is needed, and no time measured here means anything.
// EDGEGEN_WEB_LOG=1 shows all that the page says on stderr.

import { createReadStream, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const HERE = dirname(fileURLToPath(import.meta.url));
const GENAI = join(HERE, 'node_modules', '@mediapipe', 'tasks-genai');
const CHROMIUM_FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
  '--use-vulkan=swiftshader',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
// The icon is named so that the browser does not ask for one.
const EMPTY_PAGE = '<!doctype html><title>edgegen</title><link rel="icon" href="data:,">';
const MIME = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

/** Serves the engine, an empty page, and the bundle, on a free port of this machine only. */
function serve(bundle) {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
    if (path === '/') {
      response.writeHead(200, { 'content-type': MIME['.html'] }).end(EMPTY_PAGE);
      return;
    }
    const inside = normalize(path.replace(/^\/genai\//, ''));
    const file = path === '/bundle.task' ? bundle : join(GENAI, inside);
    const known = path === '/bundle.task' || (path.startsWith('/genai/') && !inside.startsWith('..'));
    const size = known ? statSync(file, { throwIfNoEntry: false })?.size : undefined;
    if (size === undefined) {
      response.writeHead(404).end();
      return;
    }
    const headers = {
      'content-type': MIME[extname(file)] ?? 'application/octet-stream',
      'accept-ranges': 'bytes',
    };
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const start = range ? Number(range[1]) : 0;
    const end = range && range[2] ? Math.min(Number(range[2]), size - 1) : size - 1;
    if (range && start > end) {
      response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
      return;
    }
    headers['content-length'] = end - start + 1;
    if (range) headers['content-range'] = `bytes ${start}-${end}/${size}`;
    response.writeHead(range ? 206 : 200, headers);
    if (request.method === 'HEAD') response.end();
    else createReadStream(file, { start, end }).on('error', () => response.destroy()).pipe(response);
  });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}

/** Runs inside the page: one engine, one prompt, greedy. */
async function generateInPage({ prompt, maxTokens, outputTokens, forceF32 }) {
  const { FilesetResolver, LlmInference } = await import('/genai/genai_bundle.mjs');
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new Error('this Chromium has no WebGPU adapter');
  // Given a URL, the engine sniffs the file type on one branch of a split stream while it loads
  // from the other, and the two trip over each other at random ("Cannot close an errored readable
  // stream", seen with 0.10.29). The whole bundle in memory has no such race.
  const bundle = await fetch('/bundle.task');
  if (!bundle.ok) throw new Error(`the bundle was not served: ${bundle.status}`);
  const modelAssetBuffer = new Uint8Array(await bundle.arrayBuffer());
  const fileset = await FilesetResolver.forGenAiTasks('/genai/wasm');
  const engine = await LlmInference.createFromOptions(fileset, {
    baseOptions: { modelAssetBuffer },
    maxTokens,
    topK: 1,
    temperature: 0,
    randomSeed: 1,
    forceF32,
  });
  const promptTokens = engine.sizeInTokens(prompt);
  // The engine decodes until a stop token or the end of its cache and heeds no cancellation
  // (seen with 0.10.29), so whoever wants less leaves; closing the page ends it.
  const pieces = [];
  const ended = await new Promise((resolve, reject) => {
    const listen = (piece) => {
      if (piece && pieces.length < outputTokens) pieces.push(piece);
      if (pieces.length === outputTokens) resolve('limit');
    };
    engine.generateResponse(prompt, listen).then(() => resolve('engine'), reject);
  });
  return {
    prompt,
    prompt_tokens: promptTokens,
    text: pieces.join(''),
    pieces,
    ended,
    adapter: `${adapter.info.vendor} ${adapter.info.architecture} ${adapter.info.description}`.trim(),
  };
}

// What tells something about the bundle: glog warnings and errors, the precision, and what the GPU
// delegate refuses (a headline, then a line for each operator, then how many are left over).
const TELLING = /^([WEF]\d{4}|ERROR:|[A-Z][A-Z0-9_]+:) |precision|not supported|will run on the/i;

/** Generates in a fresh page, because the software GPU mixes up a second session of one engine. */
async function generate(browser, origin, request, deadline, log) {
  const page = await browser.newPage();
  const crashed = new Promise((_, reject) => {
    page.on('crash', () => reject(new Error('the page crashed')));
    setTimeout(() => reject(new Error('the time limit was reached')), deadline - Date.now()).unref();
  });
  page.on('console', (message) => {
    for (const line of message.text().split('\n')) {
      if (process.env.EDGEGEN_WEB_LOG) console.error(line);
      if (TELLING.test(line)) log.add(line.replace(/^([IWEF])\d{4} \S+ +\d+ /, '$1 '));
    }
  });
  try {
    await page.goto(origin);
    return await Promise.race([page.evaluate(generateInPage, request), crashed]);
  } finally {
    await page.close();
  }
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      'max-tokens': { type: 'string' },
      'output-tokens': { type: 'string', default: '32' },
      'timeout-s': { type: 'string', default: '300' },
      'force-f32': { type: 'boolean', default: false },
      chromium: { type: 'string', default: '/usr/bin/chromium' },
    },
  });
  if (positionals.length !== 1 || !values['max-tokens']) {
    throw new Error('usage: node mediapipe_web.mjs BUNDLE --max-tokens N < prompts.json');
  }
  const [bundle] = positionals;
  if (!statSync(bundle, { throwIfNoEntry: false })?.isFile()) throw new Error(`no file ${bundle}`);
  const prompts = JSON.parse(readFileSync(0, 'utf8'));
  const timeoutMs = 1000 * Number(values['timeout-s']);
  const deadline = Date.now() + timeoutMs;
  const server = await serve(bundle);
  const log = new Set();
  let browser;
  try {
    browser = await chromium.launch({
      executablePath: values.chromium,
      args: CHROMIUM_FLAGS,
      timeout: timeoutMs,
    });
    const generations = [];
    for (const prompt of prompts) {
      const request = {
        prompt,
        maxTokens: Number(values['max-tokens']),
        outputTokens: Number(values['output-tokens']),
        forceF32: values['force-f32'],
      };
      const origin = `http://127.0.0.1:${server.address().port}/`;
      generations.push(await generate(browser, origin, request, deadline, log));
    }
    return {
      generations,
      log: [...log],
      versions: {
        tasks_genai: JSON.parse(readFileSync(join(GENAI, 'package.json'))).version,
        chromium: browser.version(),
        node: process.versions.node,
      },
    };
  } catch (error) {
    throw Object.assign(error, { log: [...log] });
  } finally {
    await browser?.close();
    server.closeAllConnections();
    server.close();
  }
}

main().then(
  (result) => console.log(JSON.stringify(result)),
  (error) => {
    // Without the page's stack, which only names places in minified code.
    const message = error.message.split('\n    at ')[0];
    console.log(JSON.stringify({ error: message, log: error.log ?? [] }));
    process.exitCode = 1;
  },
);
