"""The contrast of what a page shows, computed from its styles as WCAG 2 defines it."""

from __future__ import annotations

from tests.engines.browser_page import BrowserPage

# Returns, for each element that has text of its own and is seen, its contrast and what AA wants.
_CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => {
    const mixed = [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
    return [...mixed, 1];
  };
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      layers.push(rgba(getComputedStyle(at).backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reduceRight((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const luminance = (colour) => {
    const linear = colour.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const found = [];
  const look = (element, colour, text) => {
    const { fontSize, fontWeight } = getComputedStyle(element);
    const size = parseFloat(fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(fontWeight) >= 700);
    const below = ground(element);
    found.push({
      text: text.trim().slice(0, 40),
      contrast: contrast(over(rgba(colour), below), below),
      wanted: large ? 3 : 4.5,
    });
  };
  for (const element of document.body.querySelectorAll('*')) {
    const style = getComputedStyle(element);
    if (!element.checkVisibility() || element.matches('script, noscript, option')) continue;
    const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    const text = own.map((node) => node.data).join('') + (element.value ?? '');
    if (text.trim() && parseFloat(style.fontSize)) look(element, style.color, text);
    if (element.placeholder) {
      look(element, getComputedStyle(element, '::placeholder').color, element.placeholder);
    }
  }
  return found;
}"""


def assert_contrast(page: BrowserPage) -> int:
    """Assert that every text of the page is readable (AA); return how many there were."""
    found = page.evaluate(_CONTRASTS)
    assert [each for each in found if each["contrast"] < each["wanted"]] == []
    return len(found)
