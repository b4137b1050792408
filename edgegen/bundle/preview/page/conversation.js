// A conversation and the prompt that it makes. The web engine is given the prompt as it is: unlike
// LiteRT-LM it leaves the bundle's prefixes and suffixes to whoever calls it (seen with 0.10.29).

/** Whether the bundle says how to frame what a user says. */
export function isChat(template) {
  return [...template.user, ...template.model].some(Boolean);
}

/** Whether the bundle has a place for a system prompt. */
export function hasSystem(template) {
  return template.system.some(Boolean);
}

/**
 * Returns the text that the engine continues: system prompt, all turns, and the opening of the
 * model's next one. Each turn is `{role, text}`; the start token is the engine's business.
 */
export function promptOf(template, system, turns) {
  const framed = (role, text) => template[role][0] + text + template[role][1];
  return [
    system ? framed('system', system) : '',
    ...turns.map(({ role, text }) => framed(role, text)),
    template.model[0],
  ].join('');
}

/**
 * Returns a prompt as the model reads it, but for the start token: the engine puts METADATA's system
 * prompt before it, as it is.
 */
export function asRead(facts, prompt) {
  return facts.engine_system_prompt + prompt;
}

/** Rates of one answer; `undefined` where there is nothing to divide. */
export function ratesOf({ promptTokens, answerTokens, firstMs, lastMs }) {
  const perSecond = (tokens, ms) => (tokens > 0 && ms > 0 ? (1000 * tokens) / ms : undefined);
  return {
    prefill: perSecond(promptTokens, firstMs),
    decode: perSecond(answerTokens - 1, lastMs - firstMs),
  };
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB'];

/** Returns a number of bytes as people read it. */
export function formatBytes(bytes) {
  const power = bytes ? Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1) : 0;
  return `${(bytes / 1024 ** power).toFixed(power ? 1 : 0)} ${UNITS[power]}`;
}

/** Returns a rate or duration with three digits that mean something. */
export function formatNumber(value) {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(value >= 1 ? 3 : 2);
}

/** Returns milliseconds as people read them. */
export function formatMs(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${formatNumber(ms / 1000)} s`;
}
