"""Expand {{convert}}: the quantity as the editor wrote it, without its conversions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

Arguments = dict[str, str]
Expander = Callable[[Arguments], str]
T = TypeVar("T")


def _table(text: str) -> dict[str, str]:
    """Parse "code text | code text | ..." into {"code": "text", ...}."""
    entries = (entry.split(maxsplit=1) for entry in re.split(r"[|\n]", text) if entry.strip())
    return {code: name.rstrip() for code, name in entries}


# Unit names, with "/" and the plural where it is not the singular and "s".
_UNITS = _table("""
    nm nanometre | um micrometre | μm micrometre | µm micrometre | mm millimetre | cm centimetre
    dm decimetre | m metre | km kilometre | in inch/inches | inch inch/inches | ft foot/feet
    foot foot/feet | feet foot/feet | yd yard | mi mile | mile mile | miles mile | nmi nautical mile
    fathom fathom | chain chain | furlong furlong | hand hand | AU astronomical unit | ly light-year
    pc parsec
    mm2 square millimetre | cm2 square centimetre | m2 square metre | km2 square kilometre
    sqm square metre | sqkm square kilometre | ha hectare | acre acre | acres acre | dunam dunam
    sqin square inch/square inches | sqft square foot/square feet | sqyd square yard
    sqmi square mile | in2 square inch/square inches | ft2 square foot/square feet | mi2 square mile
    cc cubic centimetre | cm3 cubic centimetre | m3 cubic metre | km3 cubic kilometre
    cuin cubic inch/cubic inches | cuft cubic foot/cubic feet | cuyd cubic yard | cumi cubic mile
    in3 cubic inch/cubic inches | ft3 cubic foot/cubic feet | yd3 cubic yard | mi3 cubic mile
    acre.ft acre-foot/acre-feet | acre.foot acre-foot/acre-feet
    ml millilitre | mL millilitre | l litre | L litre | hl hectolitre | gal gallon | pint pint
    USgal US gallon | impgal imperial gallon | MUSgal million US gallons/million US gallons
    oilbbl barrel | koilbbl thousand barrels/thousand barrels
    Moilbbl million barrels/million barrels | Goilbbl billion barrels/billion barrels
    Tcuft trillion cubic feet/trillion cubic feet | Gcuft billion cubic feet/billion cubic feet
    mg milligram | g gram | kg kilogram | t tonne | tonne tonne | MT metric ton | LT long ton
    ST short ton | ton ton | oz ounce | ozt troy ounce | lb pound | lbs pound | st stone/stone
    carat carat | s second | min minute | h hour | kn knot | knot knot | mph mile per hour
    C-change degree Celsius/degrees Celsius | F-change degree Fahrenheit/degrees Fahrenheit
    hp horsepower/horsepower | bhp brake horsepower/brake horsepower
    PS metric horsepower/metric horsepower | W watt | kW kilowatt | MW megawatt | GW gigawatt
    J joule | kJ kilojoule | MJ megajoule | cal calorie | kcal kilocalorie | kWh kilowatt-hour
    lbft pound-foot/pound-feet | lb.ft pound-foot/pound-feet | lbf.ft pound-foot/pound-feet
    ftlbf foot-pound | ft.lbf foot-pound | ftlb foot-pound | N.m newton-metre
    mpg mile per gallon | mpgus mile per US gallon | mpgUS mile per US gallon
    mpgimp mile per imperial gallon | mpgImp mile per imperial gallon | rpm revolution per minute
    N newton | kN kilonewton | lbf pound-force/pounds-force | Nm newton-metre | Hz hertz/hertz
    Pa pascal | hPa hectopascal | kPa kilopascal | MPa megapascal | mbar millibar | bar bar
    atm atmosphere | psi pound per square inch | PD inhabitant
""")
_SYMBOLS = _table("""
    C °C | F °F | °C °C | °F °F | C-change °C | F-change °F | um μm | sqkm km² | mm2 mm² | cm2 cm²
    m2 m² | km2 km² | cm3 cm³ | m3 m³ | km3 km³ | sqin sq in | sqft sq ft | sqyd sq yd | sqmi sq mi
    cuin cu in | cuft cu ft | cuyd cu yd | cumi cu mi | USgal US gal | impgal imp gal | oilbbl bbl
    koilbbl thousand bbl | Moilbbl million bbl | Goilbbl billion bbl | kph km/h | LT long tons
    ST short tons | d day | s2 s² | h2 h² | inch in | foot ft | feet ft | mile mi | miles mi
    lbs lb | knot kn | lb.ft lb⋅ft | lbft lb⋅ft | lbf.ft lbf⋅ft | ftlbf ft⋅lbf | ft.lbf ft⋅lbf
    ftlb ft⋅lb | Nm N⋅m | N.m N⋅m | mpgus mpg | mpgUS mpg | mpgimp mpg imp | mpgImp mpg imp
""")
_POWERS = {"e3": "thousand", "e6": "million", "e9": "billion", "e12": "trillion"}
_TIMES = _table(
    "d day | h hour | s second | min minute | year year | yr year | a year"
    "| s2 second squared | h2 hour squared"
)
RANGE_WORDS = {
    **{
        word: f" {word} "
        for word in ("to", "and", "or", "by", "to about", "through", "±", "+", "×")
    },
    **{"-": "–", "–": "–", "/": "/", "x": " × ", "xx": " × ", "*": " × ", "+/-": " ± "},
    **{"and(-)": " and ", "to(-)": " to ", "or(-)": " or ", ",": ", "},
}
_NUMBER = re.compile(
    r"[-+−]?\d[\d,.\s]*(?:e[-+]?\d+)?|[-+−]?(?:\d+\+)?\d+(?:/|//|⁄)\d+|[-+−]?\.\d+"
)
# Quantities of two numbers: feet and inches, pounds and ounces.
_PAIRS = {("ft", "in"), ("mi", "yd"), ("yd", "ft"), ("lb", "oz"), ("st", "lb"), ("mi", "ch")}


def by_name(table: dict[T, str]) -> dict[str, T]:
    """Invert {"text": "name | name"} to {"name": "text", ...}."""
    return {name: text for text, names in table.items() for name in names.split(" | ")}


def symbol(text: str) -> Expander:
    """Return an expander to a fixed text."""
    return lambda _: text


def argument(keys: str) -> Expander:
    """Return an expander to the first argument that is not empty, of keys separated by spaces."""
    return lambda args: next((args[key] for key in keys.split() if args.get(key)), "")


def positional(args: Arguments) -> list[str]:
    """Return the values of the positional arguments, in order."""
    return [args[key] for key in sorted((k for k in args if re.fullmatch(r"\d{1,3}", k)), key=int)]


def convert(args: Arguments) -> str:
    """{{convert|5|km|mi}} is "5 kilometres", {{convert|5|to|10|km|abbr=on}} "5 to 10 km"."""
    values = positional(args)
    text, number = "", ""
    while len(values) > 1 and _NUMBER.fullmatch(values[0]):
        number = values.pop(0)
        text += group_digits(number)
        if values[0] in RANGE_WORDS:
            text += RANGE_WORDS[values.pop(0)]
            continue
        unit = values.pop(0)
        if len(values) > 1 and (unit, values[1]) in _PAIRS and _NUMBER.fullmatch(values[0]):
            text += f" {_unit_text(unit, number, args)} {group_digits(values[0])}"
            number, unit, *values = values
        return _join(text, _unit_text(unit, number, args), args, _extra_word(values, args))
    return ""  # half of a range would be a different quantity


def _extra_word(values: list[str], args: Arguments) -> str:
    """Return the extra word that adj=mid puts after the unit ("-long"), adj=pre before it ("narrow")."""
    if args.get("adj") not in ("mid", "pre") or not values:
        return ""
    return values[-1] if values[-1] not in {**_UNITS, **_SYMBOLS} else ""


def group_digits(number: str) -> str:
    """52419 is "52,419", -5 "−5", 1+1/2 "1 1/2"."""
    if "/" in number or "⁄" in number:
        number = re.sub("//|⁄", "/", number).replace("+", " ")
    if match := re.fullmatch(r"([-+−]?)(\d{4,30})(\.\d+)?", number):
        number = f"{match[1]}{int(match[2]):,}{match[3] or ''}"
    return re.sub("^-", "−", number)


def _join(text: str, unit: str, args: Arguments, words: str) -> str:
    if args.get("adj") == "pre":
        return " ".join(part for part in (text, words, unit) if part)
    if words:
        quantity = _join(text, unit, args, "")
        return quantity + words if words.startswith("-") else f"{quantity} {words}"
    if not _is_adjective(args) or unit.startswith("°"):
        return f"{text} {unit}".strip()
    return f"{text}-{unit}".replace(" × ", "×").replace(" ", "-")


def _is_adjective(args: Arguments) -> bool:
    """Return whether number and unit are hyphenated: "a 5-mile walk", but "a 5 mi walk"."""
    is_adjective = args.get("adj") in ("on", "mid") or args.get("sing") == "on"
    return is_adjective and not _is_short(args)


def _is_short(args: Arguments) -> bool:
    return args.get("abbr") in ("on", "in", "values") or args.get("abbre") == "on"


def _unit_text(unit: str, number: str, args: Arguments) -> str:
    """Return the name or symbol of a unit; an unknown unit is returned unchanged."""
    power = next((word for code, word in _POWERS.items() if unit.startswith(code)), "")
    base = re.sub(r"\Ae\d+", "", unit) if power and unit not in _UNITS else unit
    head, slash, per = base.partition("/")
    if _is_short(args) or (head not in _UNITS and head in _SYMBOLS):
        name = _SYMBOLS.get(base) or _SYMBOLS.get(head, head) + slash + _SYMBOLS.get(per, per)
    elif head in _UNITS:
        name = _name(head, number, args, is_plural=power != "")
        if per:
            name += " per " + (_TIMES.get(per) or _name(per, "1", {"sp": args.get("sp", "")}))
    else:
        name = base
    return f"{power} {name}" if power and base != unit else name


def _name(unit: str, number: str, args: Arguments, *, is_plural: bool = False) -> str:
    singular, _, plural = _UNITS.get(unit, unit).partition("/")
    is_one = number in ("1", "-1", "−1") or ("/" in number and "+" not in number)
    if unit in _UNITS and not plural:
        first, per, rest = singular.partition(" per ")
        plural = f"{first}s{per}{rest}"
    is_singular = (is_one and not is_plural) or _is_adjective(args)
    name = singular if is_singular or not plural else plural
    if args.get("sp") == "us":
        name = name.replace("metre", "meter").replace("litre", "liter")
    return name
