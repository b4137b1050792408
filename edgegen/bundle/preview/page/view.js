// What the page shows. Text from the bundle or the model becomes text nodes and never markup.

import { formatBytes, formatMs, formatNumber, ratesOf } from './conversation.js';

export const $ = (id) => document.getElementById(id);

const STATES = { loading: 'Loading', ready: 'Ready', busy: 'Reading the prompt', failed: 'Failed' };
const FAILURES = {
  'no-webgpu': [
    'This browser has no WebGPU',
    'MediaPipe’s web engine computes with WebGPU alone. Open this address in Chrome or Edge 113 or ' +
      'newer, Safari 26 or newer, or a Firefox that has WebGPU. Chrome on Linux may want ' +
      'chrome://flags/#enable-unsafe-webgpu and Vulkan.',
  ],
  'no-adapter': [
    'The browser finds no GPU',
    'It knows WebGPU, but offers no adapter. chrome://gpu tells why; often the driver is too old, ' +
      'or graphics acceleration is off in the browser’s settings.',
  ],
  engine: [
    'MediaPipe’s engine refuses this bundle',
    'Its reasons are below. Often the GPU path does not take a type of weights or an operation; ' +
      '`edgegen inspect` shows what the bundle holds, and the README which recipe runs where.',
  ],
  lost: [
    'The GPU was lost',
    'The driver gave up on it, or its memory ran out. Close what else uses the GPU, then try again.',
  ],
  served: ['The bundle could not be loaded', 'Is `edgegen preview` still running?'],
};
const LONGEST_LOG = 400;
const SENTENCE_END = /[.!?…。！？:;]["'”’)]*\s*$|\n\s*$/;

/** Shows one of the keys of STATES. */
export function showState(state) {
  const focused = document.activeElement;
  document.body.dataset.state = state;
  $('status').textContent = STATES[state];
  $('detail').textContent = '';
  $('send').disabled = state === 'failed';
  $('send').hidden = state === 'busy';
  $('stop').hidden = state !== 'busy';
  // Where one button takes the other's place, the focus stays in it.
  if (focused === $('send') && state === 'busy') $('stop').focus();
  else if (focused === $('stop') || focused === $('send')) $('prompt').focus();
  $('loading').hidden = state !== 'loading';
  if (state === 'failed') $('send-text').textContent = 'Send';
  if (state === 'loading') {
    $('progress').removeAttribute('value');
    $('progress-text').textContent = 'Asking for a GPU';
    $('failure').hidden = true;
  }
  if (state !== 'failed') $('welcome').hidden = $('messages').childElementCount > 0;
  $('welcome-title').textContent =
    state === 'loading' ? 'Loading the bundle' : 'Ready when you are';
}

/** Shows whether the draft waits for the engine. */
export function showQueued(queued) {
  $('send-text').textContent = queued ? 'Waiting' : 'Send';
  $('send').disabled = queued;
}

/** Shows how much of the bundle is here. */
export function showProgress(bytes, total) {
  const text = `${formatBytes(bytes)} of ${formatBytes(total)}`;
  $('progress').max = total;
  $('progress').value = bytes;
  $('progress-text').textContent = text;
  $('detail').textContent = text;
}

/** Shows that the engine has the bundle and starts. */
export function showStarting() {
  $('progress').removeAttribute('value');
  $('progress-text').textContent = 'The engine is preparing the GPU';
  $('status').textContent = 'Preparing the GPU';
  $('detail').textContent = '';
}

/** Shows what the browser computes on. */
export function showGpu({ name, details, software, float16 }) {
  const notes = [software && 'in software', !float16 && 'no float16 in shaders'].filter(Boolean);
  $('gpu').textContent = `WebGPU: ${name}${notes.length ? ` (${notes.join(', ')})` : ''}`;
  $('gpu').title = Object.entries(details)
    .map(([key, value]) => `${key}: ${value || '-'}`)
    .join('\n');
}

/** Shows why there is no engine. */
export function showFailure({ message, why }, reasons) {
  showState('failed');
  const [title, remedy] = FAILURES[why] ?? FAILURES.engine;
  $('failure-title').textContent = title;
  $('failure-remedy').textContent = remedy;
  $('failure-said').hidden = why in FAILURES && why.startsWith('no-');
  const lines = [...reasons.filter((line) => !message.includes(line)), message];
  $('failure-message').textContent = lines.join('\n');
  $('welcome').hidden = true;
  $('failure').hidden = false;
  $('scroll').scrollTop = 0;
}

/** Shows a complaint above the field, or none. */
export function showNotice(text) {
  $('notice').hidden = !text;
  $('notice').textContent = text ?? '';
}

/** Shows how much of the cache the conversation takes. */
export function showContext(used, total) {
  const share = Math.min(used / total, 1);
  const meter = $('context');
  meter.style.setProperty('--used', share);
  meter.classList.toggle('tight', share >= 0.75 && share < 0.95);
  meter.classList.toggle('full', share >= 0.95);
  meter.setAttribute('aria-valuenow', Math.min(used, total));
  meter.setAttribute('aria-valuemax', total);
  meter.setAttribute('aria-valuetext', `${used} of ${total} tokens`);
  $('context-text').textContent = `${used} of ${total} tokens`;
}

/** Shows what is known of the bundle before any engine has seen it. */
export function showFacts(facts, templateNote) {
  document.title = `${facts.name} · edgegen preview`;
  $('bundle-name').textContent = facts.name;
  $('bundle-name').title = facts.name;
  const pieces = (list) => list.filter(Boolean).join(' ') || 'none';
  const rows = {
    Size: formatBytes(facts.file_bytes),
    Context: `${facts.kv_cache_len} tokens`,
    'Prefill lengths': facts.prefill_lens.join(', ') || 'none',
    Layers: String(facts.num_hidden_layers),
    Vocabulary: facts.vocab_size === null ? 'unknown' : `${facts.vocab_size} tokens`,
    'Start and stop': pieces([facts.start_token, '→', ...facts.stop_tokens]),
  };
  $('facts').replaceChildren(
    ...Object.entries(rows).map(([name, value]) => {
      const row = document.createElement('div');
      row.append(element('dt', name), element('dd', value));
      return row;
    }),
  );
  $('template-note').textContent = templateNote;
  $('versions').textContent =
    `edgegen ${facts.edgegen_version}, MediaPipe GenAI ${facts.engine_version}`;
}

/** Adds lines of the engine's to its log. */
export function addToLog(lines) {
  $('log').textContent = lines.slice(-LONGEST_LOG).join('\n');
  $('log-count').textContent = `(${lines.length} ${lines.length === 1 ? 'line' : 'lines'})`;
}

/** Says a piece of an answer to a screen reader, in sentences rather than pieces. */
export class Speaker {
  #heard = '';

  /** Adds a piece; what makes a sentence is said. */
  add(text) {
    this.#heard += text;
    if (SENTENCE_END.test(this.#heard)) this.finish();
  }

  /** Says what is left. */
  finish() {
    const text = this.#heard.trim();
    this.#heard = '';
    if (!text) return;
    $('spoken').append(element('p', text));
    if ($('spoken').childElementCount > 30) $('spoken').firstElementChild.remove();
  }
}

/** A message in the conversation. */
export class Message {
  #item;

  constructor(role, text) {
    this.#item = $('message-template').content.cloneNode(true).firstElementChild;
    this.#item.classList.add(role);
    this.#part('.who').textContent = role === 'user' ? 'You' : 'Model';
    this.#part('.text').textContent = text;
    this.#part('.sent').hidden = true;
    $('welcome').hidden = true;
    $('messages').append(this.#item);
    this.#keepInSight(true);
  }

  /** Whether the answer is still coming. */
  set busy(busy) {
    this.#item.classList.toggle('busy', busy);
    this.#part('.text').setAttribute('aria-busy', busy);
  }

  get text() {
    return this.#part('.text').textContent;
  }

  /** Adds a piece of the answer. */
  add(text) {
    const inSight = this.#isInSight();
    this.#part('.text').append(text);
    this.#keepInSight(inSight);
  }

  /** Shows the prompt that the engine was given. */
  sent(prompt) {
    this.#part('.sent').hidden = false;
    this.#part('.sent pre').textContent = prompt;
  }

  /** Shows how far the answer is, while nothing exact can be said. */
  running(pieces, ms) {
    this.#chips([chip('', `${pieces} pieces in ${formatMs(ms)}`)]);
  }

  /** Shows what was measured, and how the answer ended if not by itself. */
  measured(measure, first) {
    const { promptTokens, answerTokens, firstMs, ended } = measure;
    const { prefill, decode } = ratesOf(measure);
    const chips = [
      firstMs !== undefined && chip('First token', formatMs(firstMs), 'ttft'),
      prefill && chip('Prefill', `${formatNumber(prefill)} tokens/s`, 'prefill'),
      decode && chip('Decode', `${formatNumber(decode)} tokens/s`, 'decode'),
      chip('Tokens', `${promptTokens} in, ${answerTokens} out`, 'tokens'),
      first && chip('', 'first since the start: includes preparing the GPU', 'first'),
      ended && chip('', ended, 'ended'),
    ];
    this.#chips(chips.filter(Boolean));
  }

  /** Shows how the engine failed. */
  refused(message) {
    this.#chips([chip('', message, 'refused')]);
  }

  /** Takes the message away. */
  remove() {
    this.#item.remove();
  }

  #part(selector) {
    return this.#item.querySelector(selector);
  }

  #chips(chips) {
    const inSight = this.#isInSight();
    this.#part('.stats').replaceChildren(...chips);
    this.#keepInSight(inSight);
  }

  #isInSight() {
    const { scrollTop, scrollHeight, clientHeight } = $('scroll');
    return scrollHeight - clientHeight - scrollTop < 60;
  }

  #keepInSight(wanted) {
    if (wanted) $('scroll').scrollTop = $('scroll').scrollHeight;
  }
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function chip(name, value, kind = '') {
  const made = document.createElement('span');
  if (kind) made.className = kind;
  if (name) made.append(`${name} `, element('b', value));
  else made.append(value);
  return made;
}
