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

from data.latex import superscript
from data.wiki_units import convert, group_digits

Arguments = dict[str, str]
Expander = Callable[[Arguments], str]

_MONTHS = re.findall(
    r"\w+",
    "January February March April May June July August September October November December",
)

# What has a fixed text.
_SYMBOLS = {
    **{
        "'": "'",
        "'s": "'s",
        "-'": "'",
        '-"': '"',
        "' \"": "' \"",
        "\" '": "\" '",
        "'\"": "'\"",
        "=": "=",
    },
    **{"ndash": "–", "mdash": "—", "mdashb": "—", "emdash": "—", "em dash": "—", "en dash": "–"},
    **dict.fromkeys(("snd", "snds", "spaced ndash", "spnd", "spaced en dash", "dash"), " – "),
    **dict.fromkeys(("spaced mdash", "spaced em dash", "smdash"), " — "),
    **dict.fromkeys(("nbsp", "spaces", "space", "thinsp", "thin space", "hair space", "pad"), " "),
    **{
        "·": " · ",
        "dot": " · ",
        "middot": " · ",
        "bull": " • ",
        "eqm": " = ",
        "pi": "π",
        "minus": "−",
    },
    **{"plusminus": "±", "+-": "±", "times": "×", "infin": "∞", "carbon": "C", "hydrogen": "H"},
    **{"oxygen": "O", "nitrogen": "N", "euro": "€", "pound sign": "£", "ellipsis": "…", "...": "…"},
}
# What shows one of its arguments, which is the first that is given of these.
_ARGUMENT = {
    **dict.fromkeys(
        ("lang", "langx", "rtl-lang", "script", "wikt-lang", "sclang", "langr"), ("2",)
    ),
    **dict.fromkeys(("transl", "transliteration", "tlit", "tcl"), ("3", "2")),
    **dict.fromkeys(
        ("nowrap", "nobr", "nobreak", "nowraplinks", "nq", "noitalic", "normal"), ("1",)
    ),
    **dict.fromkeys(
        ("small", "smaller", "big", "large", "larger", "midsize", "resize"), ("2", "1")
    ),
    **dict.fromkeys(
        ("sc", "smallcaps", "sc2", "aut", "em", "strong", "strongbad", "varserif"), ("1",)
    ),
    **dict.fromkeys(("abbr", "abbrv", "abbrlink", "tooltip", "h:title", "define"), ("1",)),
    **dict.fromkeys(("math", "mvar", "var", "serif", "mono", "keypress", "key", "kbd"), ("1",)),
    **dict.fromkeys(
        ("vanchor", "visible anchor", "as written", "proper name", "sub", "nocaps"), ("1",)
    ),
    **dict.fromkeys(
        ("flag", "flagcountry", "flagu", "flaglink", "lang-rus", "nihongo core"), ("1",)
    ),
    **dict.fromkeys(
        ("chem2", "ce", "mono", "coloured text", "text", "interp", "no italic"), ("1",)
    ),
    **{"color": ("2",), "font color": ("3", "2"), "font": ("text", "1"), "ipaslink": ("1",)},
}
_BLOCKS = frozenset(
    (
        "quote",
        "blockquote",
        "block quote",
        "bquote",
        "cquote",
        "quotation",
        "quote frame",
        "poemquote",
    )
)
# What runs its arguments together.
_JOINED = frozenset(("linktext", "not a typo", "notatypo", "typo", "chem name", "proper noun"))
_CURRENCIES = {
    **dict.fromkeys(("us$", "usd", "us dollar"), "US$"),
    **{"$": "$", "£": "£", "gbp": "£", "pound": "£", "€": "€", "eur": "€", "inr": "₹", "₹": "₹"},
    **{"a$": "A$", "aud": "A$", "c$": "C$", "cad": "C$", "nz$": "NZ$", "nzd": "NZ$", "hk$": "HK$"},
    **{"¥": "¥", "jpy": "¥", "yen": "¥", "cny": "CN¥", "rmb": "CN¥", "indian rupee": "₹"},
    **{"russian rouble": "₽", "philippine peso": "₱", "php": "₱", "krw": "₩"},
}
# Ships: prefix of the name.
_SHIPS = frozenset(
    (
        "uss",
        "hms",
        "hmas",
        "hmcs",
        "hmnzs",
        "hmcs",
        "ins",
        "jds",
        "mv",
        "ms",
        "rms",
        "ss",
        "usat",
        "usns",
    )
)


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


def _argument(keys: tuple[str, ...]) -> Expander:
    return lambda args: next((args[key] for key in keys if args.get(key)), "")


def _positional(args: Arguments) -> list[str]:
    return [args[key] for key in sorted((k for k in args if k.isdecimal()), key=int)]


def _join(args: Arguments) -> str:
    return "".join(_positional(args))


def _block(args: Arguments) -> str:
    text = next((args[key] for key in ("text", "quote", "1") if args.get(key)), "")
    return f"\n\n{text}\n\n"


def _currency(sign: str) -> Expander:
    return lambda args: f"{sign}{group_digits(args.get('1', ''))}"


def _any_currency(args: Arguments) -> str:
    """{{currency|5|EUR}} is "€5"."""
    code = args.get("2") or args.get("type") or "USD"
    sign = _CURRENCIES.get(code.lower(), f"{code} ")
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
    match _positional(args):
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
    positional = _positional(args)
    if not positional:
        return ""
    text = args.get("p", "") + group_digits(positional[0])
    for deviation in positional[1:2]:
        text += deviation if deviation.startswith("(") else f" ± {deviation}"
    text += f"({args['(']})" if args.get("(") else ""
    if args.get("e"):
        text += f" × 10{superscript(args['e'])}"
    unit = args.get("u") or args.get("ul") or ""
    below = args.get("up") or args.get("upl")
    text += f" {unit}" if unit else ""
    text += f"/{below}" if below else ""
    return text + args.get("s", "")


def _gaps(args: Arguments) -> str:
    """{{gaps|1|234|567}} is "1234567": gaps would make three numbers of one."""
    return _join(args) + (f" {args['u']}" if args.get("u") else "")


def _chemical(args: Arguments) -> str:
    """{{chem|S|O|4|2-}} is "SO4²⁻": elements, numbers and charges in a row."""
    return "".join(
        superscript(part) if re.fullmatch(r"\d*[-+−]", part) else part for part in _positional(args)
    )


def _nuclide(args: Arguments) -> str:
    return "-".join(_positional(args)[:2])


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
    if month.isdecimal() and 1 <= int(month) <= 12:
        month = _MONTHS[int(month) - 1]
    return " ".join(part.lstrip("0") for part in (day, month, year) if part)


def _old_style(args: Arguments) -> str:
    date, year, old = (args.get(key, "") for key in "123")
    return f"{date} [O.S. {old}] {year}"


def _prefixed(prefix: str, separator: str = " – ") -> Expander:
    """Years after "c." and the like: "c. 1800 – c. 1850"."""
    return lambda args: (
        separator.join(f"{prefix} {year}" for year in _positional(args)[:2]) or prefix
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
    for value in _positional(args):
        if re.fullmatch(r"[NESW]", value):
            text, units = f"{text}{value} ", iter("°′″")
        elif re.fullmatch(r"-?[\d.]+", value):
            text += value + next(units, "")
        else:
            break
    if not re.search(r"[NESW]", text):  # decimal degrees
        text = ", ".join(f"{value}°" for value in _positional(args)[:2])
    return text.strip()


def _bible(args: Arguments) -> str:
    return " ".join(_positional(args)[:2])


_EXPANDERS: dict[str, Expander] = {
    **{name: _symbol(text) for name, text in _SYMBOLS.items()},
    **{name: _argument(keys) for name, keys in _ARGUMENT.items()},
    **dict.fromkeys(_BLOCKS, _block),
    **dict.fromkeys(_JOINED, _join),
    **{name: _currency(sign) for name, sign in _CURRENCIES.items()},
    **{name: _ship(name.upper()) for name in _SHIPS},
    **{"ship": _any_ship, "sclass": _bible, "currency": _any_currency},
    **dict.fromkeys(("convert", "cvt"), convert),
    **dict.fromkeys(("frac", "fraction", "sfrac"), _fraction),
    **dict.fromkeys(("e", "x10^", "esp"), _power_of_ten),
    **dict.fromkeys(("nihongo", "nihongo2", "nihongo3"), _nihongo),
    **dict.fromkeys(("zh", "lang-zh", "korean"), _chinese),
    **dict.fromkeys(
        ("ill", "interlanguage link", "illm", "interlanguage link multi"), _interlanguage
    ),
    **dict.fromkeys(("start date", "film date", "dts", "date", "start-date", "end-date"), _date),
    **dict.fromkeys(("circa", "c.", "ca", "c"), _prefixed("c.")),
    **dict.fromkeys(("floruit", "fl", "fl."), _prefixed("fl.")),
    **dict.fromkeys(("nuclide2", "simplenuclide", "simplenuclide2"), _nuclide),
    **dict.fromkeys(("su", "subsup"), _above_below),
    **dict.fromkeys(
        ("nts", "num", "formatnum", "number"), lambda args: group_digits(args.get("1", ""))
    ),
    **{"val": _value, "gaps": _gaps, "chem": _chemical, "as of": _as_of, "asof": _as_of},
    **{"oldstyledate": _old_style, "sic": _sic, "coord": _coordinates, "bibleref": _bible},
    **{
        "reign": lambda args: "r. " + "–".join(_positional(args)[:2]),
        "railgauge": _argument(("1",)),
    },
    **{
        "music": lambda args: {"flat": "♭", "sharp": "♯", "natural": "♮"}.get(args.get("1", ""), "")
    },
    **{"sup": lambda args: superscript(args.get("1", "")), "isbn": _identifier("ISBN")},
    **{"oclc": _identifier("OCLC"), "us patent": _identifier("US patent")},
    **{
        "angbr": lambda args: f"⟨{args.get('1', '')}⟩",
        "sqrt": lambda args: f"√{args.get('1', '')}",
    },
    # With one argument it is a sound that the sentence is about; with two, an aside on a language.
    "ipa": lambda args: "" if args.get("2") else args.get("1", ""),
}
