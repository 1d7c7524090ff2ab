"""Expanders of the templates that are part of running text; other templates expand to nothing.

The selection is based on the running text of real articles. Numbers, dates, units, names and words
of other languages are expanded, because sentences are incomplete without them. Left out are editors'
notes ({{citation needed}}), values that depend on the date ({{age}}) or on price tables
({{inflation}}), flags, and pronunciations given as an aside: respellings and {{IPAc-en}} would become
runs of [UNK]. A sound that a sentence is about, {{IPA|/a/}}, is expanded.
"""

from __future__ import annotations

import re

from data.sources.wiki import localised, quantities
from data.sources.wiki.units import (
    Arguments,
    Expander,
    argument,
    by_name,
    group_digits,
    positional,
    symbol,
)

# Templates with a fixed text: the text, and the template names.
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
    **{"♭": "flat", "♯": "sharp", "♮": "natural", "ʻ": "okina", "-": "nbhyph", "1/2": "½ | 1/2"},
    **{"\n\n": "pb | paragraph break | parabr", "|": "!"},
    **{"C": "carbon", "H": "hydrogen", "N": "nitrogen", "O": "oxygen"},
}
# Templates that expand to one argument: keys in order of preference, and the template names.
_ARGUMENTS = {
    "1": "nowrap | nobr | nobreak | nowraplinks | nq | noitalic | no italic | normal | sc | sc2"
    " | smallcaps | aut | em | strong | abbr | abbrv | abbrlink | tooltip | h:title | define | math"
    " | mvar | var | serif | mono | key | kbd | code | samp | tt | char | iast | u | underline"
    " | vanchor | visible anchor | as written"
    " | proper name | sub | ipa link | ipalink | mlby | baseball year | by | nfly | stnlnk | rws"
    " | nihongo foot | date | start-date | end-date | birth-date | death-date"
    " | flag | flagcountry | flagu | flaglink | lang-rus | text"
    " | interp | bracket | highlight round",
    "2": "native name | lang | langx | rtl-lang | script | wikt-lang | color",
    "2 1": "station link | small | smaller | big | large | larger | midsize | resize",
    "3 2": "transl | translit | transliteration | tlit | font color",
}
# Block quotations.
_BLOCKS = (
    "quote | blockquote | block quote | bquote | cquote | quotation | poemquote"
    " | bq | poem quote | pull quote | block indent"
)
# Templates that concatenate their arguments.
_CONCATENATED = "linktext | not a typo | notatypo | typo"
# Prefixes of ship names.
_SHIP_PREFIXES = (
    "hmas | hmcs | hmnzs | hms | hnlms | ins | ms | mv | orp | rms | sms | ss | uss | usns"
)


def find_expander(name: str, language: str = "en") -> Expander | None:
    """Return the function from rendered arguments to text, or None if the template has no text.

    Args:
      name: name of the template.
      language: language of the wiki, whose own templates come first.
    """
    words = " ".join(name.replace("_", " ").split())
    name = words.lower()
    if expander := localised.find_expander(name, language):
        return expander
    if expander := _EXPANDERS.get(name):
        return expander
    if name.startswith(("lc:", "uc:")):
        text = words[3:].strip()
        return symbol(text.lower() if name.startswith("lc:") else text.upper())
    if match := re.fullmatch(r"formatnum:\s*([\d.-]+)(\|.*)?", name):
        return symbol(group_digits(match[1]))
    if name.startswith(("lang-", "script/")):
        return lambda args: args.get("1", "")
    return None


def _concatenate(args: Arguments) -> str:
    return "".join(positional(args))


def _block(args: Arguments) -> str:
    text = next((args[key] for key in ("text", "quote", "1") if args.get(key)), "")
    return f"\n\n{text}\n\n"


def _ship(prefix: str) -> Expander:
    return lambda args: _ship_name(prefix, *(args.get(key, "") for key in "123"))


def _any_ship(args: Arguments) -> str:
    return _ship_name(*(args.get(key, "") for key in "1234"))


def _ship_name(prefix: str, name: str, number: str, style: str) -> str:
    """Return "USS Hornet (CV-12)", or the part of it that style 1, 2, 3 or 6 selects."""
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


def _chinese(args: Arguments) -> str:
    keys = ("1", "c", "t", "s", "p", "w")
    return ", ".join(dict.fromkeys(args[key] for key in keys if args.get(key)))


def _interlanguage(args: Arguments) -> str:
    """{{ill|Title|de|Titel}} is "Title"; also the old order, {{ill|de|Titel|Title|label}}."""
    if args.get("lt"):
        return args["lt"]
    first = args.get("1", "")
    if re.fullmatch(r"[a-z]{2,3}", first) and args.get("2"):
        return args.get("4") or args.get("3") or args["2"]
    return first


def _prefixed(prefix: str, separator: str = " – ") -> Expander:
    """Return an expander that puts a prefix before each of two years: "c. 1800 – c. 1850"."""
    return lambda args: (
        separator.join(f"{prefix} {year}" for year in positional(args)[:2]) or prefix
    )


def _identifier(prefix: str) -> Expander:
    return lambda args: f"{prefix} {args.get('1', '')}".strip()


def _sic(args: Arguments) -> str:
    """{{sic|recieved}} is "recieved", without "[sic]", which would interrupt the sentence."""
    return _concatenate({key: args[key] for key in args if key in "12"})


def _author_and_year(args: Arguments) -> str:
    """{{harvtxt|Smith|Jones|2008}} is "Smith & Jones (2008)"."""
    *names, year = positional(args) or [""]
    return f"{' & '.join(names)} ({year})"


def _two_words(args: Arguments) -> str:
    return " ".join(positional(args)[:2])


def _quoted(before: str, after: str) -> Expander:
    return lambda args: f"{before}{args.get('1', '')}{after}"


def _aside(first: str, *others: str) -> Expander:
    """Return an expander for {{nihongo}} and the like: one argument, the others in brackets."""

    def expand(args: Arguments) -> str:
        texts = [args[key] for key in (first, *others) if args.get(key)]
        return f"{texts[0]} ({', '.join(texts[1:])})" if len(texts) > 1 else "".join(texts)

    return expand


def _verses(args: Arguments) -> str:
    """{{verse translation|original|translation}} is a paragraph for each."""
    return "".join(f"\n\n{text}\n\n" for text in positional(args))


def _ship_class(args: Arguments) -> str:
    """{{sclass|Nimitz|aircraft carrier}} is "Nimitz-class aircraft carrier"."""
    name, kind = args.get("1", ""), args.get("2", "")
    return f"{name}-class {kind}" if kind else f"{name} class"


def _verse(args: Arguments) -> str:
    """{{bibleverse|1|Corinthians|13:4}} or {{bibleverse|John|3:16}}, without the translation."""
    words = positional(args)
    has_number = bool(words) and words[0] in ("", "1", "2", "3", "4", "I", "II", "III", "IV")
    return " ".join(words[: 3 if has_number else 2]).strip()


def _authors(args: Arguments) -> str:
    """{{harvs|txt|last=Smith|last2=Jones|year=2008}} is "Smith & Jones (2008)"."""
    flags, keys = positional(args), ("", "1", "2", "3", "4")
    names = [args[f"last{key}"] for key in keys if args.get(f"last{key}")]
    who, year = " & ".join(names), args.get("year", "")
    if "txt" in flags or "yb" in flags:
        return f"{who} ({year})"
    return f"{who} {year}" if "nb" in flags else f"({who} {year})"


def _short_citation(args: Arguments) -> str:
    """{{harvnb|Smith|Jones|2008|p=5}} is "Smith & Jones 2008, p. 5"."""
    *names, year = positional(args) or [""]
    pages = [f"{key}. {args[key]}" for key in ("p", "pp") if args.get(key)]
    return ", ".join([f"{' & '.join(names)} {year}".strip(), *pages])


def _junction(args: Arguments) -> str:
    """{{jct|state=CA|I|5|CA|99}} is "I-5 / CA 99"."""
    words = positional(args)
    return " / ".join(
        f"{kind}-{number}" if kind == "I" else f"{kind} {number}"
        for kind, number in zip(words[::2], words[1::2], strict=False)
        if number
    )


_FUNCTIONS: dict[Expander, str] = {
    _block: _BLOCKS,
    _concatenate: _CONCATENATED,
    _any_ship: "ship",
    (lambda args: "+".join(positional(args))): "key press | keypress",
    _verses: "verse translation",
    _aside("1", "2", "3"): "nihongo | nihongo2",
    _aside("3", "2", "1"): "nihongo3",
    _aside("2", "3", "1"): "nihongo krt",
    _aside("1", "2"): "ruby",
    _chinese: "zh | lang-zh | korean",
    _interlanguage: "ill | illm | interlanguage link | interlanguage link multi",
    _sic: "sic",
    _two_words: "bibleref",
    _verse: "bibleverse",
    _ship_class: "sclass | sclass- | sclass2 | sclass2-",
    _author_and_year: "harvtxt",
    _authors: "harvs",
    _short_citation: "harvnb",
    _junction: "jct",
    (lambda args: "-".join(positional(args)[:2])): "ushr",
    _prefixed("c."): "circa | c. | ca | c",
    _prefixed("fl."): "floruit | fl | fl.",
    _identifier("ISBN"): "isbn",
    _identifier("OCLC"): "oclc",
    _identifier("US patent"): "us patent",
    (lambda args: "r. " + "–".join(positional(args)[:2])): "reign | r.",
    _quoted("⟨", "⟩"): "angbr | vr | grapheme | grapheme link",
    _quoted("[", "]"): "ipablink",
    _quoted("/", "/"): "ipaslink",
    _quoted("'", "'"): "gloss",
    (
        lambda args: f"lit. '{args['1']}'" if args.get("1") else "lit."
    ): "lit | lit. | literal translation",
    # With one argument, a sound that the sentence is about; with two, a pronunciation as an aside.
    (lambda args: "" if args.get("2") else args.get("1", "")): "ipa",
}
_EXPANDERS: dict[str, Expander] = {
    **{name: symbol(text) for name, text in by_name(_SYMBOLS).items()},
    **{name: argument(keys) for name, keys in by_name(_ARGUMENTS).items()},
    **quantities.EXPANDERS,
    **{name: _ship(name.upper()) for name in _SHIP_PREFIXES.split(" | ")},
    **by_name(_FUNCTIONS),
}
