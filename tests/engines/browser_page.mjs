// One page in headless Chromium, led by JSON lines: {id, operation, ...} on stdin, {id, value} or
// {id, error} on stdout. WebGPU runs on SwiftShader. Names that are not this machine's address do
// not resolve, so whatever a page asks of the world fails and is seen in its records.

import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const TIMEOUT_MS = 55_000;
const FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
];
const GPU = [
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
  '--use-vulkan=swiftshader',
];

const { values } = parseArgs({
  options: { chromium: { type: 'string' }, 'no-gpu': { type: 'boolean', default: false } },
});
const browser = await chromium.launch({
  executablePath: values.chromium,
  args: [...FLAGS, ...(values['no-gpu'] ? ['--disable-gpu'] : GPU)],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
page.setDefaultTimeout(TIMEOUT_MS);

const records = { requests: [], console: [], errors: [], violations: [] };
page.context().on('request', (request) => records.requests.push(request.url()));
page.on('websocket', (socket) => records.requests.push(socket.url()));
page.on('console', (message) => records.console.push(`${message.type()}: ${message.text()}`));
page.on('pageerror', (error) => records.errors.push(error.message));
page.on('crash', () => records.errors.push('the page crashed'));
await page.exposeFunction('recordViolation', (text) => records.violations.push(text));
await page.addInitScript(() => {
  addEventListener('securitypolicyviolation', (event) => {
    globalThis.recordViolation(`${event.effectiveDirective}: ${event.blockedURI}`);
  });
});

const OPERATIONS = {
  goto: ({ url }) => page.goto(url).then((response) => response.status()),
  fill: ({ selector, text }) => page.fill(selector, text),
  click: ({ selector }) => page.click(selector),
  press: ({ key }) => page.keyboard.press(key),
  blur: ({ selector }) => page.locator(selector).blur(),
  evaluate: ({ script, argument }) => page.evaluate(`(${script})(${JSON.stringify(argument)})`),
  // Not waitForFunction, which evaluates strings inside the page, where its policy forbids that.
  wait: async (options) => {
    for (const end = Date.now() + TIMEOUT_MS; !(await OPERATIONS.evaluate(options)); ) {
      if (Date.now() > end) throw new Error(`not within ${TIMEOUT_MS} ms`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  },
  theme: ({ scheme }) => page.emulateMedia({ colorScheme: scheme }),
  resize: ({ width, height }) => page.setViewportSize({ width, height }),
  screenshot: ({ path }) => page.screenshot({ path }).then(() => path),
  accessible: async () => {
    const session = await page.context().newCDPSession(page);
    const { nodes } = await session.send('Accessibility.getFullAXTree');
    await session.detach();
    return nodes
      .filter((node) => !node.ignored)
      .map(({ role, name, properties }) => ({
        role: role.value,
        name: name?.value ?? '',
        focusable: Boolean(properties?.find((each) => each.name === 'focusable')?.value.value),
      }));
  },
  records: () => records,
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, operation, ...options } = JSON.parse(line);
  let answer;
  try {
    answer = { id, value: (await OPERATIONS[operation](options)) ?? null };
  } catch (error) {
    answer = { id, error: error.message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
