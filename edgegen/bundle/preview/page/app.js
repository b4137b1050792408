// A chat with the bundle: holds the conversation and leads the engine through it.

import { asRead, hasSystem, isChat, promptOf } from './conversation.js';
import { Engine, Stopped } from './engine.js';
import {
  maxAnswerTokens,
  prepareSettings,
  prepareTheme,
  samplerOptions,
  settingsAreValid,
  systemPrompt,
} from './settings.js';
import {
  $,
  Message,
  Speaker,
  addToLog,
  showContext,
  showFacts,
  showFailure,
  showGpu,
  showNotice,
  showProgress,
  showQueued,
  showStarting,
  showState,
} from './view.js';

const CACHE_FULL = /Reached max sequence length/;
const REASON = /^(?:[EF]\d{4} \S+ +\d+ |ERROR: )(.*)/;

let facts;
let engine;
let loaded; // resolves to whether the engine that starts, or runs, came up
let stale = false; // settings changed while it was busy
let warm = false; // whether it has answered since it started
let chat = { turns: [] };
let log = [];
let queued = false; // whether the draft is to be sent when the engine has started

class TooLong extends Error {
  constructor(tokens) {
    super(
      `This makes ${tokens} tokens, and the bundle has room for ${facts.kv_cache_len} with the ` +
        'answer. Say less, or begin a new chat.',
    );
  }
}

const state = () => document.body.dataset.state;

/** Ends the engine, if one runs, and starts another with the settings as they are. */
function startEngine() {
  engine?.end();
  stale = warm = false;
  log = [];
  showState('loading');
  const mine = (engine = new Engine((event) => mine === engine && hear(event)));
  loaded = mine
    .load({ bytes: facts.file_bytes, maxTokens: facts.kv_cache_len, ...samplerOptions() })
    .then(() => {
      showState('ready');
      if (queued) send();
      return true;
    })
    .catch((error) => {
      if (!(error instanceof Stopped)) fail(mine, error);
      return false;
    });
  return loaded;
}

function hear(event) {
  if (event.kind === 'progress') showProgress(event.bytes, facts.file_bytes);
  else if (event.kind === 'starting') showStarting();
  else if (event.kind === 'gpu') showGpu(event.gpu);
  else if (event.kind === 'lost') fail(engine, { message: event.message, why: 'lost' });
  else addToLog((log = [...log, ...event.text.trimEnd().split('\n')]));
}

function fail(failed, error) {
  failed.end();
  queued = false;
  const reasons = log.map((line) => REASON.exec(line)?.[1]).filter(Boolean);
  showFailure(error, [...new Set(reasons)]);
}

/** Counts tokens as the model reads a prompt: with what the engine itself puts before. */
async function sizeOf(prompt) {
  const [size] = await engine.sizes([asRead(facts, prompt)]);
  return size + (facts.start_token ? 1 : 0);
}

async function send() {
  const text = $('prompt').value;
  if (!['ready', 'loading'].includes(state()) || !text.trim() || !settingsAreValid()) return;
  queued = state() === 'loading';
  showQueued(queued);
  if (queued) return;
  const mine = chat;
  const asked = [...mine.turns, { role: 'user', text }];
  const prompt = promptOf(facts.template, systemPrompt(), asked);
  const first = !warm;
  const running = engine;
  showNotice();
  showState('busy');
  setDraft('');
  const question = new Message('user', text);
  const answer = new Message('model', '');
  answer.busy = true;
  answer.sent(asRead(facts, prompt));
  let kept = false;
  try {
    const promptTokens = await sizeOf(prompt);
    if (promptTokens >= facts.kv_cache_len) throw new TooLong(promptTokens);
    showContext(promptTokens, facts.kv_cache_len);
    const measure = await answerTo(prompt, answer);
    // Before the engine has started again: the next message may be waiting for that.
    mine.turns = [...asked, { role: 'model', text: answer.text }];
    kept = true;
    answer.busy = false;
    if (!(await settled())) throw new Stopped('the engine did not start again');
    const [answerTokens] = await engine.sizes([answer.text]);
    answer.measured({ promptTokens, answerTokens, ...measure }, first);
    if (mine === chat && (engine === running || state() !== 'busy')) {
      showContext(promptTokens + answerTokens, facts.kv_cache_len);
    }
    if (engine === running) showState('ready');
    if (stale) startEngine();
  } catch (error) {
    if (kept) {
      answer.refused(`Not measured: ${error.message}`);
    } else {
      if (mine === chat && !$('prompt').value) setDraft(text);
      if (error instanceof TooLong || (error instanceof Stopped && !answer.text)) {
        question.remove();
        answer.remove();
      } else {
        answer.refused(error.message);
      }
    }
    if (error instanceof TooLong) showNotice(error.message);
    if (engine !== running || state() === 'failed') return;
    if (error instanceof TooLong && !stale) showState('ready');
    else startEngine();
  } finally {
    answer.busy = false;
  }
}

/**
 * Streams the engine's answer into a message; returns times, and how it ended if cut short. Then
 * another engine starts, since this one cannot be told to stop.
 */
async function answerTo(prompt, answer) {
  const speaker = new Speaker();
  const seen = { pieces: 0, ended: '' };
  try {
    await engine.generate(prompt, (text, ms) => {
      seen.firstMs ??= ms;
      seen.lastMs = ms;
      seen.pieces += 1;
      if (seen.pieces === 1) $('status').textContent = 'Writing';
      answer.add(text);
      answer.running(seen.pieces, ms);
      speaker.add(text);
      if (seen.pieces >= maxAnswerTokens()) {
        seen.ended = 'stopped at max tokens';
        engine.end();
      }
    });
    warm = true;
    if (log.some((line) => CACHE_FULL.test(line))) seen.ended = 'the cache is full';
    log = log.filter((line) => !CACHE_FULL.test(line));
  } catch (error) {
    if (!(error instanceof Stopped) || state() === 'failed') throw error;
    seen.ended ||= 'stopped';
    startEngine();
    if (!seen.pieces) throw error;
  } finally {
    speaker.finish();
  }
  return seen;
}

/** Waits until an engine runs, however often it is started again; returns whether one does. */
async function settled() {
  for (;;) {
    const waited = loaded;
    const up = await waited;
    if (waited === loaded) return up;
  }
}

function stop() {
  if (state() === 'busy') engine.end();
}

function newChat() {
  stop();
  chat = { turns: [] };
  $('messages').replaceChildren();
  $('spoken').replaceChildren();
  showNotice();
  showContext(0, facts.kv_cache_len);
  if (state() !== 'failed') $('welcome').hidden = false;
  $('prompt').focus();
}

function setDraft(text) {
  $('prompt').value = text;
  fitDraft();
}

function fitDraft() {
  const field = $('prompt');
  field.style.height = 'auto';
  field.style.height = `${field.scrollHeight}px`;
}

function templateNotes() {
  const place = hasSystem(facts.template)
    ? 'Put before the conversation as the bundle’s template says.'
    : 'The bundle’s template has no place for it: it is put at the very front as it is.';
  const system = facts.engine_system_prompt
    ? 'The engine itself puts the bundle’s own before every prompt, and nothing here can change ' +
      `that: “${facts.engine_system_prompt}” What is written here follows it.`
    : place;
  const chat = isChat(facts.template)
    ? 'Messages are framed as the bundle’s prompt template says.'
    : 'This bundle has no prompt template: what you type is continued as it is.';
  return { system, chat };
}

async function begin() {
  prepareTheme();
  try {
    facts = await (await fetch(new URL('facts.json', import.meta.url))).json();
  } catch (error) {
    showFailure({ message: error.message, why: 'served' }, []);
    return;
  }
  const notes = templateNotes();
  showFacts(facts, notes.chat);
  showContext(0, facts.kv_cache_len);
  prepareSettings(facts, notes.system, () => {
    if (state() === 'busy') stale = true;
    else startEngine();
  });
  $('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    send();
  });
  $('prompt').addEventListener('input', fitDraft);
  $('prompt').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  $('composer').addEventListener('keydown', (event) => {
    if (event.key === 'Escape') stop();
  });
  $('stop').addEventListener('click', () => {
    stop();
    $('prompt').focus();
  });
  $('new-chat').addEventListener('click', newChat);
  $('retry').addEventListener('click', startEngine);
  $('prompt').focus();
  startEngine();
}

begin();
