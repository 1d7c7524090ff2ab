"""Expanders of templates for numbers, amounts, dates, coordinates and formulas."""

from __future__ import annotations

import re

from data.sources.wiki.latex import chemistry, superscript, to_text
from data.sources.wiki.units import (
    RANGE_WORDS,
    Arguments,
    Expander,
    by_name,
    convert,
    group_digits,
    positional,
)

_ACCIDENTALS = {
    **dict.fromkeys(("flat", "b"), "♭"),
    **dict.fromkeys(("sharp", "#"), "♯"),
    **dict.fromkeys(("natural", "n"), "♮"),
    **dict.fromkeys(("doubleflat", "double flat", "bb"), "𝄫"),
    **dict.fromkeys(("doublesharp", "double sharp", "##", "x"), "𝄪"),
}
_RUPEES = {"k": "thousand", "l": "lakh", "m": "million", "c": "crore", "b": "billion"}
_RUPEES |= {"t": "trillion", "lc": "lakh crore"}
# Short enough to compute with floats.
_PLAIN_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,9})?")
_MONTHS = re.findall(
    r"\w+",
    "January February March April May June July August September October November December",
)
_CURRENCIES = {
    **{"US$": "us$ | usd | us dollar", "$": "$", "£": "£ | gbp | pound", "€": "€ | eur"},
    **{"₹": "₹ | inr | indian rupee", "A$": "a$ | aud", "C$": "c$ | cad", "NZ$": "nz$ | nzd"},
    **{"HK$": "hk$ | hkd", "¥": "¥ | jpy | yen", "CN¥": "cny | rmb", "₽": "russian rouble | rub"},
    **{"₱": "php | philippine peso", "₩": "krw | south korean won"},
    **{"CHF ": "chf", "SEK ": "sek"},
}


def _currency(sign: str) -> Expander:
    return lambda args: f"{sign}{group_digits(args.get('1', ''))}"


def _any_currency(args: Arguments) -> str:
    """{{currency|5|EUR}} is "€5"."""
    code = args.get("2") or args.get("type") or "USD"
    sign = by_name(_CURRENCIES).get(code.lower(), f"{code} ")
    return f"{sign}{group_digits(args.get('1', ''))}"


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
    """{{val|1.5|0.2|e=6|u=kg}} is "1.5 ± 0.2 × 10⁶ kg", {{val|5|-|6|u=km}} "5–6 km"."""
    number, *others = positional(args) or [""]
    text = args.get("p", "") + group_digits(number)
    while len(others) > 1 and others[0] in RANGE_WORDS:
        text += RANGE_WORDS[others[0]] + group_digits(others[1])
        others = others[2:]
    match others[:2]:
        case [deviation] if deviation.startswith("("):
            text += deviation
        case [deviation]:
            text += f" ± {deviation}"
        case [above, below]:
            text += f" +{above.lstrip('+')} −{below.lstrip('-−')}"
    if args.get("e"):
        text += f" × 10{superscript(args['e'])}"
    unit, per = args.get("u") or args.get("ul"), args.get("up") or args.get("upl")
    text += f" {unit}" if unit else ""
    text += f"/{per}" if per else ""
    return text + args.get("s", "")


def _gaps(args: Arguments) -> str:
    """{{gaps|1|234|567}} is "1234567": with gaps it would be tokenized as three numbers."""
    return "".join(positional(args)) + (f" {args['u']}" if args.get("u") else "")


def _chemical(args: Arguments) -> str:
    """{{chem|S|O|4|2-}} is "SO4²⁻": arguments are elements, numbers and charges."""
    return "".join(
        superscript(part) if re.fullmatch(r"\d*[-+−]", part) else part for part in positional(args)
    )


def _nuclide(args: Arguments) -> str:
    return "-".join(positional(args)[:2])


def _above_below(args: Arguments) -> str:
    below, above = args.get("b") or args.get("2", ""), args.get("p") or args.get("1", "")
    return below + superscript(above)


def _as_of(args: Arguments) -> str:
    """{{as of|2010|5|1}} is "As of 1 May 2010", with df=US "As of May 1, 2010"."""
    if args.get("alt"):
        return args["alt"]
    words = "Since" if args.get("since") else "As of"
    date = _date(args, day_first=args.get("df", "").lower() != "us")
    return (
        f"{words.lower() if args.get('lc') else words} {date}{args.get('post', '')}" if date else ""
    )


def _date(args: Arguments, *, day_first: bool = False) -> str:
    """{{start date|1969|7|16}} is "July 16, 1969", with df=y "16 July 1969"."""
    year, month, day = (args.get(key, "").lstrip("0") for key in "123")
    if month.isdecimal() and int(month) <= len(_MONTHS):
        month = _MONTHS[int(month) - 1]
    if not day or day_first or args.get("df", "").lower() in ("y", "yes", "1", "true"):
        return " ".join(part for part in (day, month, year) if part)
    return f"{month} {day}, {year}"


def _old_style(args: Arguments) -> str:
    date, year, old = (args.get(key, "") for key in "123")
    return f"{date} [O.S. {old}] {year}"


def _coordinates(args: Arguments) -> str:
    """{{coord|13|19|N|169|9|W}} is "13°19′N 169°9′W"; "" if shown only at the top of the page."""
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
    """{{RailGauge|1435mm}} is "1,435 mm"; gauges given by name expand to nothing."""
    match = re.fullmatch(r"(\d+) ?(mm|in)", args.get("1", ""))
    return f"{group_digits(match[1])} {match[2]}" if match else ""


def _height(args: Arguments) -> str:
    """{{height|ft=5|in=11}} is "5 ft 11 in"."""
    units = ("m", "cm", "ft", "in")
    return " ".join(f"{args[unit]} {unit}" for unit in units if args.get(unit))


def _ordinal(args: Arguments) -> str:
    number = args.get("1", "")
    is_teen = number[-2:-1] == "1"
    ending = "th" if is_teen else {"1": "st", "2": "nd", "3": "rd"}.get(number[-1:], "th")
    return number + ending if number.isdecimal() else number


def _rupees(args: Arguments) -> str:
    """{{INRConvert|50|c}} is "₹50 crore"."""
    power = _RUPEES.get(args.get("2", ""), "")
    return f"₹{group_digits(args.get('1', ''))} {power}".strip()


def _music(args: Arguments) -> str:
    """{{music|flat}} is "♭", {{music|time|4|4}} is "4/4"."""
    kind, *numbers = positional(args) or [""]
    if kind in ("time", "timesig", "time signature"):
        return "/".join(numbers[:2])
    return _ACCIDENTALS.get(kind, "")


# Expanders, and the names of their templates.
_FUNCTIONS: dict[Expander, str] = {
    convert: "convert",
    (lambda args: convert({"abbr": "on", **args})): "cvt",
    _any_currency: "currency",
    _rupees: "inrconvert",
    _fraction: "frac | fraction | sfrac",
    _power_of_ten: "e | x10^ | esp",
    _value: "val",
    _gaps: "gaps",
    _chemical: "chem",
    (lambda args: chemistry("".join(positional(args)))): "chem2 | ce",
    (lambda args: to_text(args.get("1", ""))): "tmath",
    _nuclide: "nuclide | nuclide2 | simplenuclide | simplenuclide2",
    _above_below: "su | subsup",
    _as_of: "as of | asof",
    _date: "start date | start date and age | end date | film date | dts | birth date | death date"
    " | birth date and age | death date and age | birth-date and age | bda | dob",
    _old_style: "oldstyledate",
    _coordinates: "coord",
    _density: "pop density",
    _gauge: "railgauge | track gauge",
    _height: "height",
    _ordinal: "ordinal",
    _music: "music",
    (lambda args: group_digits(args.get("1", ""))): "nts | num | formatnum | number",
    (lambda args: superscript(args.get("1", ""))): "sup",
    (lambda args: f"√{args.get('1', '')}"): "sqrt | radic",
    (lambda args: f"|{args.get('1', '')}|"): "abs",
}
EXPANDERS: dict[str, Expander] = {
    **{name: _currency(sign) for name, sign in by_name(_CURRENCIES).items()},
    **by_name(_FUNCTIONS),
}
