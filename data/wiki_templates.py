"""Templates that stand for text, and what they read like; all others have none.

The choice follows what real articles hold in their running text. Numbers, dates, units, names and
words of other languages stay, because a sentence without them is broken. Left out are notes of the
editors ({{citation needed}}), what depends on today ({{age}}) or on tables of prices ({{inflation}}),
flags, and pronunciations given as an aside: respellings and {{IPAc-en}} would be a row of unknown
pieces for the tokenizer. A sound that a sentence is about, {{IPA|/a/}}, stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from data.latex import superscript
from data.wiki_units import Arguments, convert, group_digits, positional

Expander = Callable[[Arguments], str]
T = TypeVar("T")

_ACCIDENTALS = {"flat": "♭", "sharp": "♯", "natural": "♮"}
# Few enough digits to compute with.
_PLAIN_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,9})?")
_MONTHS = re.findall(
    r"\w+",
    "January February March April May June July August September October November December",
)

# What has a fixed text: the text, and the names of its templates.
_SYMBOLS = {
    **{
        "'": "' | -'",
        "'s": "'s",
        '"': '-"',
        "' \"": "' \"",
        "\" '": "\" '",
        "'\"": "'\"",
        "=": "=",
    },
    **{"–": "ndash | en dash", "—": "mdash | mdashb | emdash | em dash", "…": "ellipsis | ..."},
    " – ": "snd | snds | spnd | spaced ndash | spaced en dash | dash",
    " — ": "smdash | spaced mdash | spaced em dash",
    " ": "nbsp | space | spaces | thinsp | thin space | hair space | pad",
    **{" · ": "· | dot | middot", " • ": "bull | •", " = ": "eqm", "−": "minus", "×": "times"},
    **{"±": "plusminus | +-", "∞": "infin", "π": "pi", "€": "euro", "£": "pound sign"},
    **{"C": "carbon", "H": "hydrogen", "N": "nitrogen", "O": "oxygen"},
}
# What shows one of its arguments: the first that is given of these, and the names.
_ARGUMENTS = {
    "1": "nowrap | nobr | nobreak | nowraplinks | nq | noitalic | no italic | normal | sc | sc2"
    " | smallcaps | aut | em | strong | abbr | abbrv | abbrlink | tooltip | h:title | define | math"
    " | mvar | var | serif | mono | keypress | key | kbd | vanchor | visible anchor | as written"
    " | proper name | sub | flag | flagcountry | flagu | flaglink | lang-rus | chem2 | text | ipaslink"
    " | interp | bracket | highlight round",
    "2": "lang | langx | rtl-lang | script | wikt-lang | color",
    "2 1": "small | smaller | big | large | larger | midsize | resize",
    "3 2": "transl | transliteration | tlit | font color",
}
_CURRENCIES = {
    **{"US$": "us$ | usd | us dollar", "$": "$", "£": "£ | gbp | pound", "€": "€ | eur"},
    **{"₹": "₹ | inr | indian rupee", "A$": "a$ | aud", "C$": "c$ | cad", "NZ$": "nz$ | nzd"},
    **{"HK$": "hk$ | hkd", "¥": "¥ | jpy | yen", "CN¥": "cny | rmb", "₽": "russian rouble | rub"},
    **{"₱": "php | philippine peso", "₩": "krw | south korean won"},
}
_BLOCKS = "quote | blockquote | block quote | bquote | cquote | quotation | poemquote"
# What runs its arguments together.
_JOINED = "linktext | not a typo | notatypo | typo"
# Ships: prefixes of their names.
_SHIPS = "hmas | hmcs | hmnzs | hms | ins | ms | mv | rms | ss | uss | usns"


def _by_name(table: dict[T, str]) -> dict[str, T]:
    """Turns {"text": "name | name"} into {"name": "text", ...}."""
    return {name: text for text, names in table.items() for name in names.split(" | ")}


def find(name: str) -> Expander | None:
    """What turns the (rendered) arguments of this template into text; None if it stands for none."""
    name = " ".join(name.replace("_", " ").split()).lower()
    if expander := _EXPANDERS.get(name):
        return expander
    if match := re.fullmatch(r"formatnum:\s*([\d.-]+)(\|.*)?", name):
        return _symbol(group_digits(match[1]))
    if name.startswith(("lang-", "script/")):
        return lambda args: args.get("1", "")
    return None


def _symbol(text: str) -> Expander:
    return lambda _: text


def _argument(keys: str) -> Expander:
    return lambda args: next((args[key] for key in keys.split() if args.get(key)), "")


def _join(args: Arguments) -> str:
    return "".join(positional(args))


def _block(args: Arguments) -> str:
    text = next((args[key] for key in ("text", "quote", "1") if args.get(key)), "")
    return f"\n\n{text}\n\n"


def _currency(sign: str) -> Expander:
    return lambda args: f"{sign}{group_digits(args.get('1', ''))}"


def _any_currency(args: Arguments) -> str:
    """{{currency|5|EUR}} is "€5"."""
    code = args.get("2") or args.get("type") or "USD"
    sign = _by_name(_CURRENCIES).get(code.lower(), f"{code} ")
    return f"{sign}{group_digits(args.get('1', ''))}"


def _ship(prefix: str) -> Expander:
    return lambda args: _ship_name(prefix, *(args.get(key, "") for key in "123"))


def _any_ship(args: Arguments) -> str:
    return _ship_name(*(args.get(key, "") for key in "1234"))


def _ship_name(prefix: str, name: str, number: str, style: str) -> str:
    """USS Hornet (CV-12); styles 1, 2, 3 and 6 leave out parts of it."""
    hull = f" ({number})" if number else ""
    match style:
        case "1":
            return number
        case "2":
            return name
        case "3":
            return name + hull
        case "6":
            hull = ""
    return f"{prefix} {name}{hull}".strip()


def _nihongo(args: Arguments) -> str:
    """English text (kanji, romanisation)."""
    first, *others = (args.get(key, "") for key in "123")
    if not first:
        first, *others = [text for text in others if text] or [""]
    aside = ", ".join(text for text in others if text)
    return f"{first} ({aside})" if aside else first


def _chinese(args: Arguments) -> str:
    keys = ("1", "c", "t", "s", "p", "w")
    return ", ".join(dict.fromkeys(args[key] for key in keys if args.get(key)))


def _interlanguage(args: Arguments) -> str:
    """{{ill|Title|de|Titel}}, and the order of old, {{ill|de|Titel|Title|label}}."""
    if args.get("lt"):
        return args["lt"]
    first = args.get("1", "")
    if re.fullmatch(r"[a-z]{2,3}", first) and args.get("2"):
        return args.get("4") or args.get("3") or args["2"]
    return first


def _fraction(args: Arguments) -> str:
    """{{frac|3}} is "1/3", {{frac|3|2}} "3/2", {{frac|1|3|2}} "1 3/2"."""
    numbers = [f"({part})" if " " in part else part for part in positional(args)]
    match numbers:
        case [below]:
            return f"1/{below}"
        case [above, below]:
            return f"{above}/{below}"
        case [whole, above, below]:
            return f"{whole} {above}/{below}"
    return ""


def _power_of_ten(args: Arguments) -> str:
    return f" × 10{superscript(args['1'])}" if args.get("1") else ""


def _value(args: Arguments) -> str:
    """{{val|1.5|0.2|e=6|u=kg}} is "1.5 ± 0.2 × 10⁶ kg"."""
    number, *deviations = positional(args) or [""]
    text = args.get("p", "") + group_digits(number)
    for deviation in deviations[:1]:
        text += deviation if deviation.startswith("(") else f" ± {deviation}"
    if args.get("e"):
        text += f" × 10{superscript(args['e'])}"
    unit, below = args.get("u") or args.get("ul"), args.get("up") or args.get("upl")
    text += f" {unit}" if unit else ""
    text += f"/{below}" if below else ""
    return text + args.get("s", "")


def _gaps(args: Arguments) -> str:
    """{{gaps|1|234|567}} is "1234567": gaps would make three numbers of one."""
    return _join(args) + (f" {args['u']}" if args.get("u") else "")


def _chemical(args: Arguments) -> str:
    """{{chem|S|O|4|2-}} is "SO4²⁻": elements, numbers and charges in a row."""
    return "".join(
        superscript(part) if re.fullmatch(r"\d*[-+−]", part) else part for part in positional(args)
    )


def _nuclide(args: Arguments) -> str:
    return "-".join(positional(args)[:2])


def _above_below(args: Arguments) -> str:
    below, above = args.get("b") or args.get("2", ""), args.get("p") or args.get("1", "")
    return below + superscript(above)


def _as_of(args: Arguments) -> str:
    """{{as of|2010|5|1}} is "As of 1 May 2010"."""
    if args.get("alt"):
        return args["alt"]
    words = "Since" if args.get("since") else "As of"
    date = _date(args)
    return (
        f"{words.lower() if args.get('lc') else words} {date}{args.get('post', '')}" if date else ""
    )


def _date(args: Arguments) -> str:
    """{{start date|1969|7|16}} is "16 July 1969"."""
    year, month, day = (args.get(key, "") for key in "123")
    if re.fullmatch(r"\d{1,2}", month) and 1 <= int(month) <= 12:
        month = _MONTHS[int(month) - 1]
    return " ".join(part.lstrip("0") for part in (day, month, year) if part)


def _old_style(args: Arguments) -> str:
    date, year, old = (args.get(key, "") for key in "123")
    return f"{date} [O.S. {old}] {year}"


def _prefixed(prefix: str, separator: str = " – ") -> Expander:
    """Years after "c." and the like: "c. 1800 – c. 1850"."""
    return lambda args: (
        separator.join(f"{prefix} {year}" for year in positional(args)[:2]) or prefix
    )


def _identifier(prefix: str) -> Expander:
    return lambda args: f"{prefix} {args.get('1', '')}".strip()


def _sic(args: Arguments) -> str:
    """The words as they were written; the mark alone would interrupt the sentence."""
    return _join({key: args[key] for key in args if key in "12"})


def _coordinates(args: Arguments) -> str:
    """{{coord|13|19|N|169|9|W}} is "13°19′N 169°9′W"; nothing if only shown above the article."""
    if args.get("display") in ("title", "t"):
        return ""
    text, units = "", iter("°′″")
    for value in positional(args):
        if re.fullmatch(r"[NESW]", value):
            text, units = f"{text}{value} ", iter("°′″")
        elif re.fullmatch(r"-?[\d.]+", value):
            text += value + next(units, "")
        else:
            break
    if not re.search(r"[NESW]", text):  # decimal degrees
        text = ", ".join(f"{value}°" for value in positional(args)[:2])
    return text.strip()


def _density(args: Arguments) -> str:
    """{{pop density|500|200|km2|prec=1}} is "2.5 inhabitants per square kilometre"."""
    people, area, unit = (args.get(key, "").replace(",", "") for key in "123")
    digits = args.get("prec", "0")
    if not (_PLAIN_NUMBER.fullmatch(people) and _PLAIN_NUMBER.fullmatch(area) and float(area)):
        return ""
    density = f"{float(people) / float(area):.{int(digits) if digits in '0123' else 0}f}"
    return convert({"1": density, "2": f"PD/{unit}"})


def _gauge(args: Arguments) -> str:
    """{{RailGauge|1435mm}} is "1,435 mm"; names of gauges have no text."""
    match = re.fullmatch(r"(\d+) ?(mm|in)", args.get("1", ""))
    return f"{group_digits(match[1])} {match[2]}" if match else ""


def _author_and_year(args: Arguments) -> str:
    """{{harvtxt|Smith|Jones|2008}} is "Smith & Jones (2008)"."""
    *names, year = positional(args) or [""]
    return f"{' & '.join(names)} ({year})"


def _two_words(args: Arguments) -> str:
    return " ".join(positional(args)[:2])


_FUNCTIONS: dict[Expander, str] = {
    _block: _BLOCKS,
    _join: _JOINED,
    convert: "convert | cvt",
    _any_ship: "ship",
    _any_currency: "currency",
    _fraction: "frac | fraction | sfrac",
    _power_of_ten: "e | x10^ | esp",
    _value: "val",
    _gaps: "gaps",
    _chemical: "chem",
    _nuclide: "nuclide2 | simplenuclide | simplenuclide2",
    _above_below: "su | subsup",
    _nihongo: "nihongo | nihongo2 | nihongo3",
    _chinese: "zh | lang-zh | korean",
    _interlanguage: "ill | illm | interlanguage link | interlanguage link multi",
    _as_of: "as of | asof",
    _date: "start date | film date | dts | date | start-date | end-date",
    _old_style: "oldstyledate",
    _sic: "sic",
    _coordinates: "coord",
    _two_words: "bibleref | sclass",
    _density: "pop density",
    _gauge: "railgauge | track gauge",
    _author_and_year: "harvtxt",
    _prefixed("c."): "circa | c. | ca | c",
    _prefixed("fl."): "floruit | fl | fl.",
    _identifier("ISBN"): "isbn",
    _identifier("OCLC"): "oclc",
    _identifier("US patent"): "us patent",
    (lambda args: "r. " + "–".join(positional(args)[:2])): "reign | r.",
    (lambda args: group_digits(args.get("1", ""))): "nts | num | formatnum | number",
    (lambda args: superscript(args.get("1", ""))): "sup",
    (lambda args: f"⟨{args.get('1', '')}⟩"): "angbr | vr | grapheme | grapheme link",
    (lambda args: f"√{args.get('1', '')}"): "sqrt | radic",
    (lambda args: _ACCIDENTALS.get(args.get("1", ""), "")): "music",
    # With one argument it is a sound that the sentence is about; with two, an aside on a language.
    (lambda args: "" if args.get("2") else args.get("1", "")): "ipa",
}
_EXPANDERS: dict[str, Expander] = {
    **{name: _symbol(text) for name, text in _by_name(_SYMBOLS).items()},
    **{name: _argument(keys) for name, keys in _by_name(_ARGUMENTS).items()},
    **{name: _currency(sign) for name, sign in _by_name(_CURRENCIES).items()},
    **{name: _ship(name.upper()) for name in _SHIPS.split(" | ")},
    **_by_name(_FUNCTIONS),
}
