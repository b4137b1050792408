// The panel of settings: what the engine starts with, what each answer may take, and the theme.

import { $ } from './view.js';

const NARROW = matchMedia('(width <= 900px)');
const DARK = matchMedia('(prefers-color-scheme: dark)');

/** What the engine takes when it starts. */
export function samplerOptions() {
  return {
    temperature: $('temperature').valueAsNumber,
    topK: $('top-k').valueAsNumber,
    seed: $('seed').valueAsNumber,
    forceF32: $('force-f32').checked,
  };
}

/** The system prompt. */
export function systemPrompt() {
  return $('system').value;
}

/** Tokens that an answer may have. */
export function maxAnswerTokens() {
  return $('max-tokens').valueAsNumber;
}

/** Whether every setting can be used; shows the first that cannot. */
export function settingsAreValid() {
  const form = $('controls');
  if (form.checkValidity()) return true;
  openPanel(true);
  return form.reportValidity();
}

/** Prepares the panel; `onSampler` is called when the engine has to start again. */
export function prepareSettings(facts, systemNote, onSampler) {
  $('max-tokens').max = facts.kv_cache_len;
  $('max-tokens').value = facts.max_output_tokens;
  // What the engine puts there by itself must not be there twice.
  $('system').value = facts.engine_system_prompt ? '' : facts.system_prompt;
  begin('temperature', facts.sampler.temperature);
  begin('top-k', facts.sampler.top_k);
  begin('seed', facts.sampler.seed);
  $('system-note').textContent = systemNote;
  for (const id of ['temperature', 'top-k', 'seed', 'force-f32']) {
    $(id).addEventListener('change', () => {
      if ($('controls').checkValidity()) onSampler();
    });
  }
  $('controls').addEventListener('submit', (event) => event.preventDefault());
  $('toggle-settings').addEventListener('click', () => {
    openPanel($('settings').hidden);
    if (!$('settings').hidden && NARROW.matches) $('system').focus();
  });
  $('settings').addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    openPanel(false);
    $('toggle-settings').focus();
  });
  openPanel(!NARROW.matches);
}

/** Puts the bundle's value into a field, if it has one; the field's limits give way to it. */
function begin(id, value) {
  if (value === null) return;
  const field = $(id);
  if (value > Number(field.max)) field.max = value;
  field.value = value;
  if (field.validity.stepMismatch) field.step = 'any';
}

/** Lets the theme follow the system until someone chooses. */
export function prepareTheme() {
  const show = () => $('theme').setAttribute('aria-pressed', isDark());
  $('theme').addEventListener('click', () => {
    document.documentElement.dataset.theme = isDark() ? 'light' : 'dark';
    show();
  });
  DARK.addEventListener('change', show);
  show();
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === 'dark' : DARK.matches;
}

function openPanel(open) {
  $('settings').hidden = !open;
  $('toggle-settings').setAttribute('aria-expanded', open);
}
