"""Text of many kinds, made by code: what the tokenizer gate compares on.

Nothing is drawn from a file, so that the same lines come everywhere; `random.Random` keeps its
sequences between Python versions.
"""

# ruff: noqa: RUF001, SIM905 - letters that look like others are the point; as lists they were long

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

Line = tuple[str, str]

SEED = 20260923

_WORDS = (
    "the of and to in is that for it as was with be by on not he his but at are this "
    "have from or had an they which you were her all she there would their we him been "
    "has when who will more no if out so said what up its about into than them can only "
    "other new some could time these two may then do first any my now such like our over "
    "man me even most made after also did many before must through back years where much "
    "your way well down should because each just those people mister how too little "
    "state good very make world still own see men work long get here between both life "
    "being under never day same another know while last might us great old year off come "
    "since against go came right used take three tokenization unbelievable "
    "internationalization Pneumonoultramicroscopic iPhone McDonald NASA HTTPServer"
).split()
_ENDINGS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'RE", "n't", "'", "’s", "’t")
_LATIN1 = (
    "déjà vu façade naïve Ångström über straße señor coração crème brûlée Øresund þorn "
    "ðat æther çedilla œuvre ÄÖÜ äöü ß ñandú ¿qué? ¡hola! «bonjour» £5 ¥7 ½ ¼ ² ° ± µ × "
    "÷ § ¶ © ® L’été PÓŁ café résumé Zoë coöperate élève garçon Čapek Łódź źdźbło Dvořák "
    "İstanbul ığdır Esperanto ĝis"
).split()
_CJK = (
    "我们今天去学校吗你好世界中文分词测试一二三四五六七八九十天地玄黄宇宙洪荒日月盈昃辰宿列张"
    "東京都に行きましたカタカナひらがな漢字テストです。、「」・ー한국어토큰화시험안녕하세요세계𠮷𡃁㐂豈"
)
_ARABIC = (
    "مرحبا بالعالم كيف حالك اليوم السلام عليكم ورحمة الله اللغة العربية جميلة مُحَمَّدٌ "
    "كِتَابٌ فارسی می\u200cخواهم ٠١٢٣٤٥٦٧٨٩ ۴۵۶ ؟ ، ؛ اردو زبان"
).split()
_DEVANAGARI = (
    "नमस्ते दुनिया हिन्दी भाषा में लिखा हुआ पाठ क्षत्रिय ज्ञान श्री संस्कृतम् मराठी "
    "०१२३४५६७८९ । ॥ विद्यार्थी प्रश्न उत्तर कार्यक्रम"
).split()
_OTHER = (
    "Привет мир Ёлка объект Ελληνικά γλώσσα ψυχή שלום עולם שָׁלוֹם ไทยภาษาทดสอบ ภาษาไทย "
    "தமிழ் மொழி বাংলা ভাষা ქართული Հայերեն አማርኛ ខ្មែរ မြန်မာ ລາວ Tiếng Việt đẹp ơi "
    "ʻokina ꙮ ᚠᛇᚻ 𝔘𝔫𝔦 𝟘𝟙 ﷽"
).split()
_EMOJI = (
    "😀 😂 🤣 ❤️ 👍🏽 👩\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈 🇩🇪 🇯🇵 👨🏿\u200d🚀 🦊 🥺 ✨ "
    "🔥 1️⃣ #️⃣ ☃ ☃️ 🧑\u200d💻 🫠 "
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f ™ ♀️ 🤷🏻\u200d♂️ … "
    "— – “ ” ‘ ’ • → ≤ ∑ √ ∞ €"
).split()
_CODE = (
    "def f(x):",
    "    return x[0] + self.value",
    "\tif (a && !b || c->d != NULL) {",
    "for (int i=0; i<n; ++i) sum += a[i]*b[i];",
    "}",
    "#include <stdio.h>",
    "std::vector<std::pair<int, int>> v{{1,2},{3,4}};",
    "const f = async ({a, b}) => `${a}:${b}`;",
    "<div class=\"x\" id='y'>text</div><br/>",
    "SELECT * FROM t WHERE a >= 10 AND b LIKE '%x%';",
    "import os, sys  # comment",
    "x = {'key': [1, 2.5, None], \"k2\": 'it\\'s'}",
    "https://example.com/path?a=1&b=2#frag",
    "user_name@mail.example.org $HOME/.config/*.json",
    "/* block */ // line",
    "lambda x: x**2 if x%2==0 else ~x",
    'git commit -m "fix(core): don\'t" --amend',
    "0xDEADBEEF 0b1010 1e-9 1_000_000 3.14159",
    "assert re.match(r'^\\s*[\\w.-]+@\\d{2,3}$', s)",
    "@decorator(arg=1)",
    "$$\\frac{a}{b}\\sum_{i=0}^n x_i^2$$",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "- [x] done\n- [ ] todo",
    "```python\nprint('x')\n```",
    "----------------------------------------",
    "==== Title ====",
    "...and so on...(etc.)...",
    'printf("%d\\n", x);\n\n\n',
    "__init__.py::test_a[b-c]",
)
_SPACES = (
    " ",
    "  ",
    "   ",
    "\t",
    "\t\t",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    " \n",
    "\n ",
    "\n    ",
    "\n\t",
)
_ODD_SPACES = ("\u00a0", "\u3000", "\u2003", "\u2009", "\x0b", "\x0c", "\u0085", "\u2028", "\u200b")
_SYMBOLS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_ASSIGNED = (  # first, last, of blocks that fonts, scripts and emoji come from
    (
        (32, 126),
        (161, 383),
        (384, 591),
        (768, 879),
        (880, 1023),
        (1024, 1279),
        (1424, 1535),
        (1536, 1791),
        (2304, 2431),
        (3584, 3711),
        (7680, 7935),
        (8192, 8303),
        (8352, 8383),
        (8448, 8527),
        (8592, 8703),
        (8704, 8959),
        (9472, 9599),
        (9728, 9983),
        (12352, 12543),
        (19968, 40959),
        (44032, 55203),
        (57344, 57855),
        (65281, 65374),
        (127744, 128591),
        (129280, 129535),
        (131072, 131327),
    )
)


def corpus_lines(lines_per_class: int = 900, seed: int = SEED) -> Iterator[Line]:
    """Yield (class, text), `lines_per_class` of each class, the same for the same arguments.

    Texts hold line breaks too, since prompts do. Random code points leave out surrogates, which
    no UTF-8 text holds.
    """
    for number, (name, make) in enumerate(_CLASSES.items()):
        draw = random.Random(seed * 1000 + number)
        for _ in range(lines_per_class):
            yield name, make(draw)


def class_names() -> tuple[str, ...]:
    """Return the names of the classes, in the order of `corpus_lines`."""
    return tuple(_CLASSES)


def _some(
    draw: random.Random, items: tuple[str, ...] | list[str], low: int, high: int
) -> list[str]:
    return [draw.choice(items) for _ in range(draw.randint(low, high))]


def _english(draw: random.Random) -> str:
    words = _some(draw, _WORDS, 3, 20)
    for i, word in enumerate(words):
        kind = draw.random()
        if kind < 0.1:
            words[i] = word.capitalize()
        elif kind < 0.14:
            words[i] = word.upper()
        elif kind < 0.24:
            words[i] = word + draw.choice(_ENDINGS)
        elif kind < 0.3:
            words[i] = word + draw.choice((",", ".", ";", ":", "!", "?", "...", "?!", "-", " -"))
        elif kind < 0.34:
            words[i] = draw.choice(('"{}"', "'{}'", "({})", "“{}”", "[{}]", "*{}*")).format(word)
    return " ".join(words)


def _latin1(draw: random.Random) -> str:
    return " ".join(_some(draw, _LATIN1, 2, 12))


def _emoji(draw: random.Random) -> str:
    glue = draw.choice(("", " ", ""))
    parts = _some(draw, _EMOJI + (_WORDS if draw.random() < 0.5 else []), 1, 10)
    return glue.join(parts)


def _cjk(draw: random.Random) -> str:
    parts = ["".join(_some(draw, list(_CJK), 1, 12)) for _ in range(draw.randint(1, 4))]
    return draw.choice(("", " ", "，", "\n")).join(parts)


def _arabic(draw: random.Random) -> str:
    return " ".join(_some(draw, _ARABIC, 2, 12))


def _devanagari(draw: random.Random) -> str:
    return " ".join(_some(draw, _DEVANAGARI, 2, 12))


def _scripts(draw: random.Random) -> str:
    words = _OTHER + _ARABIC + _DEVANAGARI + _LATIN1 + _EMOJI + _WORDS
    return draw.choice((" ", " ", "", "  ", "-")).join(_some(draw, words, 2, 12))


def _code(draw: random.Random) -> str:
    lines = []
    for _ in range(draw.randint(1, 6)):
        indent = draw.choice((0, 0, 2, 4, 8, 12, 16, 20)) * " "
        lines.append(draw.choice(("", indent, "\t")) + draw.choice(_CODE))
        if draw.random() < 0.2:
            words = "".join(draw.choice(_WORDS) + draw.choice(_SYMBOLS) for _ in range(5))
            lines.append(indent + words)
    return draw.choice(("\n", "\n", "\r\n", "\n\n")).join(lines)


def _numbers(draw: random.Random) -> str:
    def number() -> str:
        digits = "".join(_some(draw, list("0123456789"), 1, draw.choice((2, 4, 12))))
        form = ("{}", "-{}", "{}.5", "${}", "{}%", "1,{}", "{}-{}", "({})", "x{}", "{}th", "№{}")
        return draw.choice(form).format(digits, digits)

    return draw.choice((" ", " ", "  ", "\n", "")).join(number() for _ in range(draw.randint(1, 8)))


def _whitespace(draw: random.Random) -> str:
    parts = []
    for _ in range(draw.randint(1, 6)):
        kind = draw.random()
        if kind < 0.4:
            parts.append(" " * draw.choice((1, 2, 3, 4, 5, 7, 8, 12, 16, 31, 32, 33, 64, 100)))
        elif kind < 0.8:
            parts.append("".join(_some(draw, _SPACES, 1, 4)))
        if draw.random() < 0.8:
            parts.append(
                draw.choice((*_WORDS, "5", "(x", "é", "中", "—", "🦊", "'s", "}", "})", "ation"))
            )
    return "".join(parts)


def _odd_spaces(draw: random.Random) -> str:
    parts = []
    for _ in range(draw.randint(1, 4)):
        parts.append("".join(_some(draw, (*_ODD_SPACES, " ", "\n"), 1, 3)))
        parts.append(draw.choice(_WORDS))
    return "".join(parts)


def _symbols(draw: random.Random) -> str:
    parts = []
    for _ in range(draw.randint(1, 6)):
        parts.append("".join(_some(draw, list(_SYMBOLS), 1, 4)))
        parts.append(draw.choice((*_WORDS, "", " ", "1", "\n")))
    return "".join(parts)


def _bytes(draw: random.Random) -> str:
    data = draw.randbytes(draw.randint(1, 60))
    return data.decode(draw.choice(("latin-1", "utf-8")), errors="replace")


def _code_points(draw: random.Random) -> str:
    text = ""
    for _ in range(draw.randint(1, 20)):
        if draw.random() < 0.8:
            text += chr(draw.randint(*draw.choice(_ASSIGNED)))
        else:
            point = draw.randint(0, 0x10F7FF)
            text += chr(point if point < 0xD800 else point + 0x800)
    return text


_CLASSES: dict[str, Callable[[random.Random], str]] = {
    "english": _english,
    "latin-1": _latin1,
    "emoji": _emoji,
    "cjk": _cjk,
    "arabic": _arabic,
    "devanagari": _devanagari,
    "mixed scripts": _scripts,
    "code": _code,
    "numbers": _numbers,
    "whitespace": _whitespace,
    "odd spaces": _odd_spaces,
    "symbols": _symbols,
    "bytes": _bytes,
    "code points": _code_points,
}
